/** The outcomes of casting a vote. */

export interface Ballot {
  readonly option: string
  /** The order of its vote among the voter's, a safe integer; 0 if a program wrote it that gives none. */
  readonly order: number
}

/** What became of a vote. */
export type CastOutcome =
  /**
   * The ballot is committed. Also when its option stood already, or a vote of a higher order replaced it in the same batch. `order` is
   * that of the ballot where it is another than the vote's: a higher one, or where votes are final that of the first.
   */
  | { readonly kind: 'accepted'; readonly order?: number }
  | { readonly kind: 'unknown-poll' }
  | { readonly kind: 'unknown-option' }
  /** The poll opens later. */
  | { readonly kind: 'not-open' }
  | { readonly kind: 'closed' }
  /** The poll does not let a vote be changed; `ballot` is the option that stands. */
  | { readonly kind: 'already-voted'; readonly ballot: string }
  /** A vote of the voter with this or a higher order stands, for another option; it is `ballot`. */
  | { readonly kind: 'superseded'; readonly ballot: Ballot }
  /** The poll wants tickets and `voter` is not one of them. */
  | { readonly kind: 'no-ticket' }
  /** The poll counts another program's table; votes are cast there. */
  | { readonly kind: 'counted-elsewhere' }
  /** Nobody waited for the outcome any more when the vote's turn came. Nothing was written. */
  | { readonly kind: 'abandoned' }
  /** No database takes writes at present. Nothing was written. */
  | { readonly kind: 'unavailable'; readonly retryAfterMs: number }
  /** Too many votes wait, or the ballot box drains. Nothing was written. */
  | { readonly kind: 'overloaded'; readonly retryAfterMs: number }

/** The vote's own data cannot be stored, such as a voter id that is no UUID. Nothing was written; casting it again will not help. */
export class VoteUnusable extends Error {
  override readonly name = 'VoteUnusable'
}

/** The database could not confirm the vote: it may or may not stand. Casting it again is safe. */
export class VoteUnconfirmed extends Error {
  override readonly name = 'VoteUnconfirmed'
}
