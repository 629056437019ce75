/** While the bus does not say how polls stand, asks the backends, for each poll that sockets follow once for all of them. */
import type { Clock } from '../../shared/lifecycle/clock.ts'
import type { Snapshot } from '../../shared/protocol/frames.ts'

/** A poll as a backend told of it. */
export interface Told {
  readonly snapshot: Snapshot
  /** By which the backend knows what it told; undefined if it has no such thing. */
  readonly etag: string | undefined
}

/**
 * Asks a backend for a poll. Resolves to `known` itself when nothing has changed since, and to undefined when there is no such poll.
 * Rejects when no backend answers.
 */
export type AskAgain = (slug: string, known?: Told) => Promise<Told | undefined>

export interface AskMeanwhileOptions {
  readonly ask: AskAgain
  readonly clock: Pick<Clock, 'wait'>
  /** From 0 up to 1. */
  readonly random: () => number
  readonly onTold: (snapshot: Snapshot) => void
  readonly onGone: (slug: string) => void
}

export interface AskMeanwhile {
  /** Asks for the polls. Resolves, to whether every one was answered, a moment later, which differs from gateway to gateway. */
  round(slugs: readonly string[], signal: AbortSignal): Promise<boolean>
  /** Forgets what it was told. */
  end(): void
}

/** Questions under way at a time: half of the reads that a gateway lets through to the backends. */
const AT_ONCE = 8
/** The time between two rounds, in ms, and the part of it by which gateways differ. */
const ROUND_MS = 500
const JITTER_MS = 250

export function createAskMeanwhile({ ask, clock, random, onTold, onGone }: AskMeanwhileOptions): AskMeanwhile {
  const told = new Map<string, Told>()

  const askFor = async (slug: string): Promise<boolean> => {
    try {
      const known = told.get(slug)
      const answer = await ask(slug, known)
      if (answer === undefined) onGone(slug)
      else if (answer !== known) {
        told.set(slug, answer)
        onTold(answer.snapshot)
      }
      return true
    } catch {
      return false
    }
  }

  return {
    async round(slugs, signal) {
      const left = slugs.values()
      const answered: boolean[] = []
      const askOn = async () => {
        for (const slug of left) {
          if (signal.aborted) return
          answered.push(await askFor(slug))
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, askOn))
      await clock.wait(ROUND_MS - JITTER_MS * random(), signal)
      return answered.length === slugs.length && answered.every(Boolean)
    },
    end: () => told.clear(),
  }
}
