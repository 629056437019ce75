/** Assembles gateway, backend and a bus in memory on the embedded database, which is starting already. */
import { createBackend } from '../../backend/backend.ts'
import { openPglite } from '../../backend/pglite/open.ts'
import type { PgliteCluster } from '../../backend/pglite/cluster.ts'
import { fetchInProcess } from '../../gateway/api/api.ts'
import { createGateway } from '../../gateway/gateway.ts'
import { createMemoryBus } from '../../shared/bus/memory-bus.ts'
import { systemClock } from '../../shared/lifecycle/clock.ts'
import type { SignalSource } from '../../shared/lifecycle/signals.ts'
import { watchLoopDelay } from '../../shared/lifecycle/loop-delay.ts'
import { runService } from '../../shared/lifecycle/service.ts'
import { createLog } from '../../shared/telemetry/log.ts'
import { createMetrics } from '../../shared/telemetry/metrics.ts'
import type { StandaloneConfig } from './config.ts'
import { ensureFirstPoll, simulate } from './first-poll.ts'

/** A short drain without notice: there is no balancer, and whoever presses Ctrl-C waits for the prompt. */
const DRAIN = { noticeMs: 0, spreadMs: 300, deadlineMs: 900 }

export interface StandaloneOptions {
  readonly host: SignalSource & { readonly stdout: { readonly isTTY?: boolean; write(text: string): unknown } }
  readonly config: StandaloneConfig
  /** The cluster in the data directory of the configuration. */
  readonly starting: Promise<PgliteCluster>
}

/** Resolves to the exit code. */
export async function runStandalone({ host, config, starting }: StandaloneOptions): Promise<number> {
  const log = await createLog({ service: 'livetally', level: config.logLevel, terminal: host.stdout.isTTY ?? false })
  const clock = systemClock

  return await runService({ host, log, clock, deadlineMs: DRAIN.deadlineMs }, async (life) => {
    const metrics = createMetrics({ service: 'livetally' })
    const loopDelay = watchLoopDelay()
    life.release('loop monitor', () => loopDelay.stop())
    const shared = { life, loopDelayMs: loopDelay.currentMs, clock, log, metrics }

    const database = await openPglite({ dataDir: config.dataDir, starting, log })
    life.release('database', () => database.close())
    const bus = createMemoryBus({ now: clock.now })

    const backend = createBackend({
      ...shared,
      database,
      bus,
      adminTokens: config.adminTokens(),
      cookieSecret: config.cookieSecret(),
      previousCookieSecrets: config.previousCookieSecrets,
    })
    const slug = await ensureFirstPoll(backend.polls)
    const gateway = createGateway({
      ...shared,
      id: 'standalone',
      bus,
      api: { fetch: fetchInProcess(backend.fetch), castVotes: backend.castVotes },
      edge: config.edge,
      drain: DRAIN,
      checks: backend.checks,
    })
    const port = await gateway.listen(config)

    const simulation = new AbortController()
    const { polls, ballotBox } = backend
    const simulated =
      config.simulatedVoters === 0
        ? undefined
        : simulate({
            polls,
            ballotBox,
            slug,
            voters: config.simulatedVoters,
            clock,
            random: Math.random,
            signal: simulation.signal,
          })
    simulated?.catch((error: unknown) => log.warn({ err: error }, 'the simulation ended with an error'))

    const isAnyAddress = config.host === '::' || config.host === '0.0.0.0'
    const origin = `http://${isAnyAddress ? 'localhost' : config.host.replace(/^.*:.*$/, '[$&]')}:${port}`
    host.stdout.write(`Livetally is at ${origin}\n  vote and watch: ${origin}/p/${slug}\n`)
    if (config.adminTokenFile !== undefined) host.stdout.write(`  admin token:    ${config.adminTokenFile}\n`)
    return [{ name: 'simulation', run: () => simulation.abort() }, ...gateway.stages, ...backend.stages]
  })
}
