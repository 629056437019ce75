/** The votes that a gateway sends to a backend, many in one request (docs/adr/0008). Only services use it, never a browser. */
import { z } from 'zod'
import { PollSlug } from './frames.ts'

/** `PUT` takes an array of votes and answers with an array of answers in the same order, each once its ballot is committed. */
export const VOTE_BUNDLE_PATH = '/votes'
export const MAX_VOTES_IN_BUNDLE = 500
/** What a backend takes. A gateway's bundles are far smaller, and so is the largest vote that it lets in. */
export const MAX_BUNDLE_BYTES = 4_194_304
/** Longer than any ticket that is issued. */
export const MAX_TICKET_LENGTH = 200

/** The part of a `PUT /api/polls/:poll/vote` that the API needs. */
export const BundledVote = z.object({
  poll: PollSlug,
  /** As the voter sent it. */
  body: z.string(),
  /** The `Cookie` header, of which a gateway leaves the voter cookie alone. */
  cookie: z.string().optional(),
  /** The `Livetally-Ticket` header. */
  ticket: z.string().optional(),
  /** Whether the voter came over TLS. */
  isSecure: z.boolean(),
  requestId: z.string(),
  /** The order of the vote if its body names none: the gateway's stamp for its arrival. A backend stamps a vote that has neither. */
  stamp: z.int().positive().optional(),
})
export type BundledVote = z.infer<typeof BundledVote>

/** The name of the voter cookie. Over TLS it has the `__Host-` prefix: browsers let no sibling domain and no plain page overwrite it. */
export function voterCookieName(isSecure: boolean): string {
  return isSecure ? '__Host-voter' : 'voter'
}

export const VoteBundle = z.array(BundledVote).max(MAX_VOTES_IN_BUNDLE)

export const BundledAnswer = z.object({
  status: z.int(),
  headers: z.record(z.string(), z.string()),
  body: z.string(),
  /** The order of the ballot that stands, where it was not below the vote's stamp: the gateway may cast the vote with a higher one. */
  standing: z.int().optional(),
})
export type BundledAnswer = z.infer<typeof BundledAnswer>
export const BundledAnswers = z.array(BundledAnswer)
