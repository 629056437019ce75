/**
 * Bundles the votes that arrive in the same turn of the event loop, as they share a transaction at the other end. No vote waits for
 * company. The hop between gateway and backend, the dearest part of a vote's way, is so paid for once per turn (docs/adr/0008).
 */
import { MAX_VOTES_IN_BUNDLE, type BundledAnswer, type BundledVote } from '../../shared/protocol/vote-bundle.ts'
import type { Api } from './api.ts'

interface PendingVote {
  readonly vote: BundledVote
  resolve(answer: BundledAnswer): void
  reject(error: unknown): void
}

/** A bundle is sent before its votes have more characters than this, so that no few large ones exceed what a backend takes. */
const MAX_CHARS_IN_BUNDLE = 262_144

/** Casts a vote together with the others of its turn; `defer` runs a function once the requests that are there have been read. */
export function bundleVotes(
  castVotes: Api['castVotes'],
  defer: (run: () => void) => void = setImmediate,
): (vote: BundledVote) => Promise<BundledAnswer> {
  let pending: PendingVote[] = []
  let chars = 0

  const send = () => {
    const bundle = pending
    pending = []
    chars = 0
    if (bundle.length > 0) void deliver(bundle)
  }

  const deliver = async (bundle: readonly PendingVote[]) => {
    try {
      const answers = await castVotes(bundle.map(({ vote }) => vote))
      for (const [index, { resolve, reject }] of bundle.entries()) {
        const answer = answers[index]
        if (answer === undefined) reject(new Error('fewer votes were answered than were cast'))
        else resolve(answer)
      }
    } catch (error) {
      for (const { reject } of bundle) reject(error)
    }
  }

  return (vote) =>
    new Promise((resolve, reject) => {
      const length = vote.body.length + (vote.cookie?.length ?? 0) + (vote.ticket?.length ?? 0)
      if (chars + length > MAX_CHARS_IN_BUNDLE) send()
      if (pending.length === 0) defer(send)
      pending.push({ vote, resolve, reject })
      chars += length
      if (pending.length === MAX_VOTES_IN_BUNDLE) send()
    })
}
