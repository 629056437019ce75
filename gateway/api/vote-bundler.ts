/**
 * Sends the votes that arrive in the same turn of the event loop to a backend in one call, so that the hop between the two is
 * paid for once per turn (docs/adr/0008). No vote waits for later ones.
 */
import { MAX_VOTES_IN_BUNDLE, type BundledAnswer, type BundledVote } from '../../shared/protocol/vote-bundle.ts'
import type { Api } from './api.ts'

interface PendingVote {
  readonly vote: BundledVote
  resolve(answer: BundledAnswer): void
  reject(error: unknown): void
}

/**
 * A bundle is sent before its votes have more bytes than this together, as JSON, so that a few large ones do not exceed what a backend,
 * or a proxy before it, accepts. A vote that has more alone goes alone.
 */
const MAX_BYTES_IN_BUNDLE = 262_144

/**
 * Returns a function that casts a vote together with the others of its turn. `defer` runs a function after Node has read the
 * requests that have arrived.
 */
export function bundleVotes(
  castVotes: Api['castVotes'],
  defer: (run: () => void) => void = setImmediate,
): (vote: BundledVote) => Promise<BundledAnswer> {
  let pending: PendingVote[] = []
  let bytes = 0

  const send = () => {
    const bundle = pending
    pending = []
    bytes = 0
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
      // JSON writes a character in up to six bytes, so the length of what was sent says little
      const size = Buffer.byteLength(JSON.stringify(vote))
      if (bytes + size > MAX_BYTES_IN_BUNDLE) send()
      if (pending.length === 0) defer(send)
      pending.push({ vote, resolve, reject })
      bytes += size
      if (pending.length === MAX_VOTES_IN_BUNDLE) send()
    })
}
