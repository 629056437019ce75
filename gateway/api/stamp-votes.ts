/** Orders the votes of clients that do not order them: by their arrival at this edge (docs/adr/0018). */
import type { BundledAnswer, BundledVote } from '../../shared/protocol/vote-bundle.ts'
import { MAX_STAMPS } from '../../shared/protocol/vote-order.ts'

/**
 * Returns a function that stamps a vote and casts it. Where a ballot with a higher order stands, since another edge's clock is ahead,
 * the vote is cast again with a higher stamp than that, as long as `isAwaited` says that its sender waits for the answer: whoever has
 * gone may have voted again elsewhere.
 */
export function stampVotes(
  castVote: (vote: BundledVote) => Promise<BundledAnswer>,
  stamp: () => number,
): (vote: Omit<BundledVote, 'stamp'>, isAwaited: () => boolean) => Promise<BundledAnswer> {
  return async (vote, isAwaited) => {
    let answer = await castVote({ ...vote, stamp: stamp() })
    for (let tries = 1; answer.standing !== undefined && tries < MAX_STAMPS && isAwaited(); tries++) {
      answer = await castVote({ ...vote, stamp: answer.standing + 1 })
    }
    return answer
  }
}
