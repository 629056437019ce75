/** Orders the votes of clients that do not order them: by their arrival at this edge (docs/adr/0018). */
import { setImmediate } from 'node:timers/promises'
import { type Halts, TURNS_AFTER_HALT } from '../../shared/lifecycle/watch-halts.ts'
import type { BundledAnswer, BundledVote } from '../../shared/protocol/vote-bundle.ts'
import { MAX_STAMPS } from '../../shared/protocol/vote-order.ts'

/** Its sender has gone, so nobody reads it. */
const NOT_CAST: BundledAnswer = { status: 503, headers: {}, body: '' }

/**
 * Returns a function that stamps a vote and casts it. Where the ballot that stands has an order of the future, the clock of another edge
 * is ahead: the vote is cast again with a higher stamp than that, as long as `isAwaited` says that its sender waits for the answer. An
 * order between the vote's own and now is that of a vote which came while this one waited, and stands.
 *
 * After a halt a vote is stamped only once it is known whether its sender has gone: who gave up meanwhile may have voted elsewhere, and
 * this vote would be stamped above that one. It is not cast then.
 */
export function stampVotes(
  castVote: (vote: BundledVote) => Promise<BundledAnswer>,
  stamp: () => number,
  halts: Pick<Halts, 'isRecent'>,
): (vote: Omit<BundledVote, 'stamp'>, isAwaited: () => boolean) => Promise<BundledAnswer> {
  return async (vote, isAwaited) => {
    if (halts.isRecent()) {
      for (let turn = 0; turn < TURNS_AFTER_HALT; turn += 1) await setImmediate()
      if (!isAwaited()) return NOT_CAST
    }
    let answer = await castVote({ ...vote, stamp: stamp() })
    for (let tries = 1; tries < MAX_STAMPS && isAwaited(); tries++) {
      if (answer.standing === undefined || answer.standing < stamp()) break
      answer = await castVote({ ...vote, stamp: answer.standing + 1 })
    }
    return answer
  }
}
