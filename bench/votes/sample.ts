/** Medians of interleaved rounds. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

/** Runs every contender once per round, in an order that turns from round to round, and gives all results of each. */
export async function interleave<R>(
  contenders: Readonly<Record<string, () => Promise<R>>>,
  rounds: number,
  onRound: (round: number) => void = () => {},
): Promise<Record<string, R[]>> {
  const names = Object.keys(contenders)
  const results: Record<string, R[]> = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    onRound(round)
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length] ?? ''
      const result = await contenders[name]?.()
      if (result !== undefined) results[name]?.push(result)
    }
  }
  return results
}

/** What work gives when there is nothing left to do. */
export const EXHAUSTED = Symbol('exhausted')

/**
 * Keeps `width` copies of the work going for `durationMs`, or until it is exhausted; gives how many were done per second of the time
 * that took, and how long each took, in ms.
 */
export async function sustain(
  width: number,
  durationMs: number,
  work: (worker: number) => Promise<number | void | typeof EXHAUSTED>,
): Promise<{ readonly perSecond: number; readonly latencies: readonly number[] }> {
  const latencies: number[] = []
  let done = 0
  const startedAt = performance.now()
  await Promise.all(
    Array.from({ length: width }, async (_, worker) => {
      for (let now = performance.now(); now - startedAt < durationMs;) {
        // not `done += await …`, which would read `done` before the wait
        const more = await work(worker)
        if (more === EXHAUSTED) break
        done += more ?? 1
        const after = performance.now()
        latencies.push(after - now)
        now = after
      }
    }),
  )
  return { perSecond: (done * 1_000) / (performance.now() - startedAt), latencies }
}
