/** A list of checks, run one after the other, each of which holds, fails or cannot be made here. */

/** One thing that a server or a client of the wire must do. `S` is what is examined. */
export interface Check<S> {
  /** What must be so, as a sentence. */
  readonly name: string
  /** Where that is written: a heading of docs/protocol.md, or a section of a standard. */
  readonly source: string
  /** Whether it takes longer than ten seconds. */
  readonly isSlow?: boolean
  /** Resolves when it holds, rejects with the reason when it does not; throws `NotHere` when it cannot be told here. */
  run(subject: S): Promise<void>
}

/** The check needs something that was not given. */
export class NotHere extends Error {}

export interface Outcome {
  readonly held: number
  readonly failed: number
  readonly leftOut: number
}

export interface RunOptions {
  /** Whether slow checks are made too. */
  readonly slow: boolean
  /** Gets each line of the report. */
  readonly say: (line: string) => void
}

/** Runs the checks and says how each went. */
export async function runChecks<S>(checks: readonly Check<S>[], subject: S, { slow, say }: RunOptions): Promise<Outcome> {
  const outcome = { held: 0, failed: 0, leftOut: 0 }
  for (const check of checks) {
    if (check.isSlow === true && !slow) {
      outcome.leftOut += 1
      say(`- ${check.name} (left out: takes longer than ten seconds, --slow runs it)`)
      continue
    }
    try {
      await check.run(subject)
      outcome.held += 1
      say(`✔ ${check.name}`)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      if (error instanceof NotHere) {
        outcome.leftOut += 1
        say(`- ${check.name} (left out: ${reason})`)
      } else {
        outcome.failed += 1
        say(`✖ ${check.name}\n    ${reason.replaceAll('\n', '\n    ')}\n    see ${check.source}`)
      }
    }
  }
  say(`${outcome.held} hold, ${outcome.failed} fail, ${outcome.leftOut} left out`)
  return outcome
}

/** Rejects with the message unless the promise settles within the time, in ms. */
export async function soon<T>(promise: Promise<T>, ms: number, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${message} within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
