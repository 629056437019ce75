/** Orders the votes of clients that do not order them: by their arrival at this edge (docs/adr/0018). */
import type { BundledAnswer, BundledVote } from '../../shared/protocol/vote-bundle.ts'
import { MAX_STAMPS } from '../../shared/protocol/vote-order.ts'

/**
 * Returns a function that stamps a vote and casts it. Where the ballot that stands has an order of the future, the clock of another edge
 * is ahead: the vote is cast again with a higher stamp than that, as long as `isAwaited` says that its sender waits for the answer. An
 * order between the vote's own and now is that of a vote which came while this one waited, and stands.
 */
export function stampVotes(
  castVote: (vote: BundledVote) => Promise<BundledAnswer>,
  stamp: () => number,
): (vote: Omit<BundledVote, 'stamp'>, isAwaited: () => boolean) => Promise<BundledAnswer> {
  return async (vote, isAwaited) => {
    let answer = await castVote({ ...vote, stamp: stamp() })
    for (let tries = 1; tries < MAX_STAMPS && isAwaited(); tries++) {
      if (answer.standing === undefined || answer.standing < stamp()) break
      answer = await castVote({ ...vote, stamp: answer.standing + 1 })
    }
    return answer
  }
}
