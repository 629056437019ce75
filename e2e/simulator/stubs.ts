/** In the place of what only people and scrapers read: logs, metrics, pages. */
import type { Log } from '../../shared/telemetry/log.ts'
import type { Metrics } from '../../shared/telemetry/metrics.ts'
import { here, time } from './scheduler.ts'

/** Whether logs are printed: for one schedule that is looked at. */
export const logs = { arePrinted: false }

function createQuietLog(): Log {
  const at = (level: string) => (fields: object, message: string) => {
    if (logs.arePrinted) console.log(`${time().toFixed(1).padStart(9)} ${here().name.padEnd(12)} ${level} ${message}`, fields)
  }
  const log: Log = { debug: at('debug'), info: at('info '), warn: at('warn '), error: at('error'), child: () => log }
  return log
}

export const createLog = async () => createQuietLog()
export const createMetrics = (): Metrics => ({
  counter: () => ({ add: () => {} }),
  gauge: () => {},
  histogram: () => ({ observe: () => {} }),
  render: async () => ({ text: '', contentType: '' }),
})
export const createMetricsServer = () => ({ close: () => {} })
export const watchLoopDelay = () => ({ currentMs: () => 0, stop: () => {} })
export const loadPages = () => new Map()
export const answerClientErrors = () => {}
