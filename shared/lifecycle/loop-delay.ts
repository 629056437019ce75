/** Measures how late the event loop runs, for the liveness probe. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

export interface LoopDelay {
  /** The longest delay of the last five to ten seconds, in ms. */
  readonly currentMs: () => number
  stop(): void
}

const WINDOW_MS = 5_000

export function watchLoopDelay(): LoopDelay {
  const histogram = monitorEventLoopDelay({ resolution: 20 })
  let previousMaxMs = 0
  // max is 0 while the histogram is empty, else nanoseconds; the resolution itself is part of it
  const maxMs = () => histogram.max / 1e6
  histogram.enable()
  const timer = setInterval(() => {
    previousMaxMs = maxMs()
    histogram.reset()
  }, WINDOW_MS).unref()
  return {
    currentMs: () => Math.max(previousMaxMs, maxMs()),
    stop() {
      clearInterval(timer)
      histogram.disable()
    },
  }
}
