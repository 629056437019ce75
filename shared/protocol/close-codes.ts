/**
 * The close codes and what a client does about each. 4400 to 4499, which mirror HTTP's client errors, end a subscription for good.
 *
 * 1000–1013 come from RFC 6455 §7.4.1 and the IANA WebSocket Close Code registry; 4000–4999 are private (RFC 6455 §7.4.2).
 */
export const CloseCode = {
  /** The client has what it came for, or has moved to another connection. The only one of these a browser may send. */
  normal: 1000,
  /** The client sent data, for which this wire has no frames, or too many pings or pongs. */
  policyViolation: 1008,
  /** The server is being replaced: come back at once, jittered. */
  serviceRestart: 1012,
  /** The server is overloaded or the client reads too slowly: back off. */
  tryAgainLater: 1013,
  /** Never sent: what an endpoint reports when a connection ended without a close frame. */
  abnormal: 1006,
  /** Not allowed; trying again will not help. */
  notAllowed: 4403,
  /** No such poll; trying again will not help. */
  unknownPoll: 4404,
} as const
