/**
 * States that are rare, and that a simulator must nevertheless meet, since otherwise it would prove nothing about them. A full run fails
 * if it never reached one of them.
 */
export const RARE = [
  'a client moves while its two gateways are at different versions',
  'a gateway drains while a client is reconnecting',
  'a new epoch begins while a client moves',
  'an admission is refused as stale',
  'a commit is not confirmed',
  'a transaction that ran at the last read has ended',
  'a new history of the database begins',
  'Redis answers out of step, since one answer was lost',
  'Redis comes back older than what screens show',
  'Redis comes back empty',
  'a gateway asks a backend for a poll that the bus does not know',
  'a handshake is refused with 503',
  'a client shows old numbers as old',
  'a client is told that the source is silent',
  'a client finds out by silence that its feed is dead',
  'a poll ends alone while its socket goes on',
  'a socket that reads too slowly is closed',
  'a process that was stopped goes on with what it had read before',
  'a process leaves while Redis or Postgres is away',
  'a vote waits for its batch while its backend leaves',
  'a poll is made anew under the name of a removed one',
  'a wall clock steps back',
] as const
export type RareState = (typeof RARE)[number]

/** Counts how often each state was met. */
export class Sometimes {
  readonly met = new Map<string, number>()
  note(state: RareState | (string & {})): void {
    this.met.set(state, (this.met.get(state) ?? 0) + 1)
  }
}
