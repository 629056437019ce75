/** Opens and closes polls whose time has come and records the history, beside the poller, so that tallies wait for neither. */
import { wait } from '../../shared/lifecycle/clock.ts'
import { createRetryGuard, healthOf, type StageHealth } from '../../shared/lifecycle/retry-guard.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import type { Database, Queryable, Session } from '../database/database.ts'

export interface UpkeepOptions {
  readonly database: Pick<Database, 'openSession'>
  /** Opens and closes polls whose time has come. */
  readonly advance: (connection: Queryable) => Promise<void>
  /** Records what has changed since the last time. */
  readonly record: (connection: Queryable) => Promise<void>
  readonly log: Log
  /** Monotonic milliseconds. */
  readonly now: () => number
}

const ADVANCE_MS = 250
const RECORD_MS = 1_000
/** A round that has not ended after so long, in ms, is begun again on another connection. */
const ROUND_MS = 6_000

export interface Upkeep {
  /** Works on a connection of its own until the signal aborts, then records once more. Never rejects. */
  run(signal: AbortSignal): Promise<void>
  readonly health: StageHealth
}

export function createUpkeep(options: UpkeepOptions): Upkeep {
  const { database, advance, record, now } = options
  let session: Session | undefined
  let nextRecordAt = now() + RECORD_MS
  const drop = () => {
    const old = session
    session = undefined
    return old?.close().catch(() => {})
  }
  const upkeep = createRetryGuard({
    log: options.log,
    now,
    begins: 'polls are neither opened nor closed in time, and no history is recorded',
    ends: 'polls are opened and closed in time again',
    boundMs: ROUND_MS,
    onStuck: () => void drop(),
  })

  const round = async () => {
    if (session?.lost !== false) {
      void drop()
      session = await database.openSession({ label: 'upkeep' })
    }
    const connection = session
    await advance(connection)
    if (now() < nextRecordAt) return
    nextRecordAt = now() + RECORD_MS
    await record(connection)
  }

  return {
    async run(signal) {
      while (!signal.aborted) {
        await upkeep.guard(round)
        await wait(Math.max(ADVANCE_MS, upkeep.retryAt - now()), signal)
      }
      nextRecordAt = 0
      if (upkeep.error === undefined) await upkeep.guard(round)
      await drop()
    },
    get health() {
      return healthOf(upkeep)
    },
  }
}
