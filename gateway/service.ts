/** Runs the gateway in a process of its own, in front of backends and a Redis it shares with them. */
import { hostname } from 'node:os'
import { connectRedisBus } from '../shared/bus/redis-bus.ts'
import { systemClock } from '../shared/lifecycle/clock.ts'
import { listen } from '../shared/lifecycle/http-server.ts'
import { watchLoopDelay } from '../shared/lifecycle/loop-delay.ts'
import { untilItWorks } from '../shared/lifecycle/retry.ts'
import { runService } from '../shared/lifecycle/service.ts'
import type { SignalSource } from '../shared/lifecycle/signals.ts'
import { createLog } from '../shared/telemetry/log.ts'
import { createMetrics, createMetricsServer } from '../shared/telemetry/metrics.ts'
import type { Host } from '../shared/config/load.ts'
import { loadGatewayConfig } from './config.ts'
import { hasNativeSend } from './fanout/socket-send.ts'
import { createBackendClient } from './api/backend-client.ts'
import { createGateway } from './gateway.ts'

/** The process, or a stand-in. */
export type GatewayHost = Host & SignalSource & { readonly pid: number; readonly stdout: { readonly isTTY?: boolean } }

/** Resolves to the exit code. */
export async function runGateway(host: GatewayHost): Promise<number> {
  const config = loadGatewayConfig(host)
  const log = await createLog({ service: 'gateway', level: config.logLevel, terminal: host.stdout.isTTY ?? false })
  const clock = systemClock

  return await runService({ host, log, clock, deadlineMs: config.drain.deadlineMs }, async (life) => {
    const metrics = createMetrics({ service: 'gateway' })
    const garbage = metrics.counter('livetally_bus_garbage_total', 'Messages on a channel that were no snapshots.')
    const loopDelay = watchLoopDelay()
    life.release('loop monitor', () => loopDelay.stop())

    const bus = await untilItWorks(
      () =>
        connectRedisBus({
          url: config.redisUrl,
          ca: config.redisCa,
          namespace: config.redisNamespace,
          log,
          now: clock.now,
          onGarbage: () => garbage.add(),
        }),
      { what: 'reach Redis', log, signal: life.starting },
    )
    life.release('Redis', () => bus.close())

    const api = createBackendClient({ backendUrls: config.backendUrls, log })
    const gateway = createGateway({
      id: `${hostname()}:${host.pid}`,
      life,
      bus,
      api,
      edge: config.edge,
      drain: config.drain,
      loopDelayMs: loopDelay.currentMs,
      clock,
      log,
      metrics,
    })

    const metricsServer = createMetricsServer(metrics)
    const metricsPort = await listen(metricsServer, { port: config.metricsPort, host: config.host })
    life.release('metrics', () => void metricsServer.close())
    const port = await gateway.listen(config)
    log.info({ port, metricsPort, nativeSend: hasNativeSend }, 'listening')
    return [...gateway.stages]
  })
}
