/**
 * The frames of `livetally.v1` and `livetally.v1.1`: JSON text, server to client only (docs/protocol.md).
 *
 * Browser code imports the *types* of this module alone, so that the schema library never reaches a page.
 */
import { z } from 'zod'

/** The WebSocket subprotocol (RFC 6455 §1.9) of clients that know no `gone` frame: one unknown poll closes their socket. */
export const SUBPROTOCOL = 'livetally.v1'
/** The subprotocol of clients to which a poll may end alone, with a `gone` frame. */
export const SUBPROTOCOL_GONE = 'livetally.v1.1'
/** The subprotocols that a server speaks, the best first. */
export const SUBPROTOCOLS = [SUBPROTOCOL_GONE, SUBPROTOCOL] as const

/** A poll's name in URLs: lower-case words joined by hyphens, 1 to 64 characters. */
export const PollSlug = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/, 'lower-case letters, digits and single hyphens between them')

/** An option's name in ballots and counts: up to 64 printable characters, no white space at either end. */
export const OptionId = z
  .string()
  .regex(/^[^\s\p{C}](?:[^\p{C}]{0,62}[^\s\p{C}])?$/u, '1 to 64 printable characters, no white space at either end')

/** One of the answers a poll offers, in the order it is shown. */
export const PollOption = z.object({
  id: OptionId,
  /** 1 to 200 characters, each of one or two UTF-16 units. */
  label: z.string().min(1).max(400),
  color: z
    .string()
    .regex(/^#[0-9a-fA-F]{6}$/, 'a colour as #rrggbb')
    .optional(),
})

/** `scheduled` turns `open` at `opensAt`, `open` turns `closed` at `closesAt`; an organiser may do either by hand. */
export const PollState = z.enum(['scheduled', 'open', 'closed'])

/**
 * What a poll asks, sent on connect and whenever it changes. Times are ISO 8601 in UTC. `(epoch, version)` orders the definitions of
 * one poll among themselves: `version` rises with every edit, and is not that of the tallies. Servers before `livetally.v1.1` send
 * neither.
 */
export const PollFrame = z.object({
  type: z.literal('poll'),
  poll: PollSlug,
  question: z.string(),
  options: z.array(PollOption),
  state: PollState,
  /** False while the organiser holds the counts back: tallies then carry the total alone. */
  resultsVisible: z.boolean(),
  opensAt: z.iso.datetime().nullable(),
  closesAt: z.iso.datetime().nullable(),
  epoch: z.int().nonnegative().optional(),
  version: z.int().nonnegative().optional(),
})

/**
 * A poll's whole state, never a difference. `(epoch, version)` orders tallies of one poll; the same pair always means the
 * same content. `at` is the time of the last change counted in it.
 */
export const TallyFrame = z.object({
  type: z.literal('tally'),
  poll: PollSlug,
  epoch: z.int().nonnegative(),
  version: z.int().nonnegative(),
  /** Votes per option id, every option present; absent while results are hidden. */
  counts: z.record(z.string(), z.int().nonnegative()).optional(),
  total: z.int().nonnegative(),
  at: z.iso.datetime(),
})

/** Sent after 15 s of silence, and at once when the source falls silent or speaks again. */
export const AliveFrame = z.object({
  type: z.literal('alive'),
  /** When the database was last read. */
  at: z.iso.datetime(),
  /** For how long the source has been silent, in ms; 0 while it speaks. Servers before `livetally.v1.1` do not say. */
  silentMs: z.int().nonnegative().optional(),
})

/** Nothing more comes of this poll on this socket, which stays open for its other polls. `livetally.v1.1` alone. */
export const GoneFrame = z.object({
  type: z.literal('gone'),
  /** The poll as it was asked for, which need not be a possible slug. */
  poll: z.string(),
  /** The code that would have closed the socket, had this been its only poll: one that ends a subscription for good. */
  code: z.int().min(4400).max(4499),
  reason: z.string(),
})

/** This server is shutting down: the client opens another connection, then leaves this one within `closeAfterMs`. */
export const DrainFrame = z.object({ type: z.literal('drain'), closeAfterMs: z.int().nonnegative() })

export const Frame = z.discriminatedUnion('type', [PollFrame, TallyFrame, AliveFrame, GoneFrame, DrainFrame])

/** What a poll asks together with its tally, read in one database snapshot: what the bus carries. */
export const Snapshot = z.object({ poll: PollFrame, tally: TallyFrame })

export type PollOption = z.infer<typeof PollOption>
export type PollState = z.infer<typeof PollState>
export type PollFrame = z.infer<typeof PollFrame>
export type TallyFrame = z.infer<typeof TallyFrame>
export type AliveFrame = z.infer<typeof AliveFrame>
export type GoneFrame = z.infer<typeof GoneFrame>
export type DrainFrame = z.infer<typeof DrainFrame>
export type Frame = z.infer<typeof Frame>
export type Snapshot = z.infer<typeof Snapshot>
