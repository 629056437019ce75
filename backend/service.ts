/** Runs the backend in a process of its own, one of several replicas on the same Postgres and Redis. */
import type { Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import { connectRedisBus } from '../shared/bus/redis-bus.ts'
import { systemClock } from '../shared/lifecycle/clock.ts'
import { createHttpDrain } from '../shared/lifecycle/http-drain.ts'
import { DEFAULT_HOSTNAME, listen, SERVER_OPTIONS } from '../shared/lifecycle/http-server.ts'
import { watchLoopDelay } from '../shared/lifecycle/loop-delay.ts'
import { untilItWorks } from '../shared/lifecycle/retry.ts'
import { runService, type ServiceContext } from '../shared/lifecycle/service.ts'
import type { SignalSource } from '../shared/lifecycle/signals.ts'
import { createLog } from '../shared/telemetry/log.ts'
import { createMetrics, createMetricsServer, type Metrics } from '../shared/telemetry/metrics.ts'
import type { Host } from '../shared/config/load.ts'
import { createBackend, type Backend } from './backend.ts'
import { loadBackendConfig } from './config.ts'
import { createMarks } from './database/mark.ts'
import { connectPostgres } from './database/postgres.ts'
import { ingest } from './ingest/ingest.ts'
import { connectVoteList } from './ingest/vote-list.ts'

/** The process, or a stand-in. */
export type BackendHost = Host & SignalSource & { readonly stdout: { readonly isTTY?: boolean } }

/** Resolves to the exit code. */
export async function runBackend(host: BackendHost): Promise<number> {
  const config = loadBackendConfig(host)
  const log = await createLog({ service: 'backend', level: config.logLevel, terminal: host.stdout.isTTY ?? false })
  const clock = systemClock

  return await runService({ host, log, clock, deadlineMs: config.drain.deadlineMs }, async (life) => {
    const metrics = createMetrics({ service: 'backend' })
    const loopDelay = watchLoopDelay()
    life.release('loop monitor', () => loopDelay.stop())

    const bus = await untilItWorks(
      () => connectRedisBus({ url: config.redisUrl, ca: config.redisCa, namespace: config.redisNamespace, log, now: clock.now }),
      { what: 'reach Redis', log, signal: life.starting },
    )
    life.release('Redis', () => bus.close())
    const { cookieSecret, previousCookieSecrets } = config
    const marks = createMarks({ secret: cookieSecret, previousSecrets: previousCookieSecrets })
    // the database may have been put back to an earlier state while no backend ran
    const remembered = await untilItWorks(() => bus.remembered(), { what: 'ask Redis for the mark', log, signal: life.starting })
    const after = marks.read(remembered)
    const { databaseUrl: url, databaseDirectUrl: directUrl } = config
    const database = await untilItWorks(() => connectPostgres({ url, directUrl, log, after }), {
      what: 'reach Postgres',
      log,
      signal: life.starting,
    })
    life.release('Postgres', () => database.close())

    const { adminTokens, batchMax, talliesPerSecond } = config
    const backend = createBackend({
      life,
      database,
      bus,
      adminTokens,
      cookieSecret,
      previousCookieSecrets,
      batchMax,
      talliesPerSecond,
      loopDelayMs: loopDelay.currentMs,
      clock,
      log,
      metrics,
    })

    const stopIngest = config.ingest === undefined ? undefined : await startIngest(life, backend, metrics, config.ingest)

    const metricsServer = createMetricsServer(metrics)
    const metricsPort = await listen(metricsServer, { port: config.metricsPort, host: config.host })
    life.release('metrics', () => void metricsServer.close())
    const server = createAdaptorServer({
      fetch: backend.fetch,
      hostname: DEFAULT_HOSTNAME,
      serverOptions: SERVER_OPTIONS,
    }) as Server
    const http = createHttpDrain(server)
    const port = await listen(server, config)
    log.info({ port, metricsPort }, 'listening')
    return [
      { name: 'unready', run: () => http.announce() },
      { name: 'notice', run: (signal) => clock.wait(config.drain.noticeMs, signal) },
      { name: 'finish', run: (signal) => http.finish(signal) },
      ...(stopIngest === undefined ? [] : [{ name: 'ingest', run: stopIngest }]),
      ...backend.stages,
    ]
  })

  /** Takes another program's votes from a list in Redis, until the function it resolves to is called. */
  async function startIngest(
    life: ServiceContext,
    { ballotBox }: Backend,
    metrics: Metrics,
    { list, slug }: { readonly list: string; readonly slug: string },
  ) {
    const votes = await untilItWorks(
      () => connectVoteList({ url: config.redisUrl, ca: config.redisCa, list, namespace: config.redisNamespace }),
      {
        what: `reach the list ${list}`,
        log,
        signal: life.starting,
      },
    )
    life.release('vote list', () => votes.close())
    const stop = new AbortController()
    let waiting = 0
    metrics.gauge('livetally_ingest_waiting', 'Votes taken from the list that wait for their poll to open.', () => waiting)
    const onWaiting = (entries: number) => void (waiting = entries)
    const ended = ingest({ list: votes, ballotBox, slug, log, now: clock.now, onWaiting }, stop.signal)
    return async () => {
      stop.abort()
      await ended
    }
  }
}
