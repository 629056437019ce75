/** Assembles the edge: from a bus and an API to a server that listens, and the stages in which it shuts down. */
import type { Server } from 'node:http'
import { fileURLToPath } from 'node:url'
import { createAdaptorServer } from '@hono/node-server'
import type { TallyBus } from '../shared/bus/tally-bus.ts'
import type { Clock } from '../shared/lifecycle/clock.ts'
import type { Stage } from '../shared/lifecycle/drain.ts'
import { createHttpDrain } from '../shared/lifecycle/http-drain.ts'
import { type Address, DEFAULT_HOSTNAME, SERVER_OPTIONS } from '../shared/lifecycle/http-server.ts'
import { createProbes, type Check } from '../shared/lifecycle/probes.ts'
import type { ServiceContext } from '../shared/lifecycle/service.ts'
import { watchHalts } from '../shared/lifecycle/watch-halts.ts'
import { CloseCode } from '../shared/protocol/close-codes.ts'
import { createStamps } from '../shared/protocol/vote-order.ts'
import type { Log } from '../shared/telemetry/log.ts'
import type { Metrics } from '../shared/telemetry/metrics.ts'
import type { Api } from './api/api.ts'
import { askForPoll } from './api/ask-for-poll.ts'
import { createListener } from './handshake/listener.ts'
import { createApp } from './http/app.ts'
import { createConnectionLimits } from './access/connection-limits.ts'
import { stampVotes } from './api/stamp-votes.ts'
import { bundleVotes } from './api/vote-bundler.ts'
import { createPeerReader, createProxyCheck } from './access/client-address.ts'
import { createHttpConnections } from './access/http-connections.ts'
import { networkOf } from './access/network.ts'
import { createRequestLimits } from './access/request-limits.ts'
import type { DrainConfig, EdgeConfig } from './config.ts'
import { createRefusals } from './refusals.ts'
import { createSocketDrain } from './fanout/socket-drain.ts'
import { createHub } from './fanout/hub.ts'
import { createOriginCheck } from './access/allowed-origins.ts'
import { answerClientErrors } from './http/client-errors.ts'
import { loadPages } from './http/static-pages.ts'
import { createTallyFeed } from './fanout/tally-feed.ts'
import { createUpgrade } from './handshake/upgrade.ts'

export interface GatewayOptions {
  /** The name of this process among the gateways. */
  readonly id: string
  readonly life: ServiceContext
  readonly bus: TallyBus
  readonly api: Api
  readonly edge: EdgeConfig
  readonly drain: DrainConfig
  readonly loopDelayMs: () => number
  /** Checks of `/ready` beside the one of the bus. */
  readonly checks?: readonly Check[]
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
}

export interface Gateway {
  /** Resolves to the port once it listens; rejects when it cannot. */
  listen(address: Address): Promise<number>
  readonly stages: readonly Stage[]
}

const TICK_MS = 100
const ANNOUNCE_MS = 1_000
/** How long the feed may take to end what it has begun. */
const FEED_STOP_MS = 1_000
/** How long the closing handshakes of the last sockets may take, in ms. */
const SOCKET_CLOSE_MS = 2_000
/** What is left of the deadline of the drain for the stages after the sockets, in ms. */
const AFTER_SOCKETS_MS = 5_000

/** What the metric calls the limits of sockets. */
const LIMIT_OF_VERDICT = { full: 'sockets', crowded: 'sockets', busy: 'handshakes', hasty: 'handshakes' } as const

const pagesDir = fileURLToPath(new URL('web/pages', import.meta.url))
const compiledDir = fileURLToPath(new URL('../dist/web', import.meta.url))

export function createGateway(options: GatewayOptions): Gateway {
  const { life, bus, api, edge, clock, log, metrics } = options
  const now = () => clock.now()

  const sent = metrics.counter('livetally_socket_writes_total', 'Writes of tallies to sockets.')
  const hub = createHub({
    clock,
    sourceAt: () => feed.sourceAt,
    sourceAgeMs: () => feed.sourceAgeMs(),
    slowMs: edge.slowClientMs,
    onSent: (sockets) => sent.add(sockets),
  })
  const feed = createTallyFeed({ bus, hub, ask: (slug, known) => askForPoll(api, slug, known), clock, log })
  metrics.gauge('livetally_sockets', 'Open WebSockets.', () => hub.size)
  metrics.gauge('livetally_draining', '1 while the process is shutting down.', () => (life.phase.current === 'draining' ? 1 : 0))

  const readPeer = createPeerReader(edge.trustedProxies)
  const isOriginAllowed = createOriginCheck(edge.allowedOrigins)
  const refusals = createRefusals({ metrics, log, now })
  const closes = metrics.counter('livetally_socket_closes_total', 'WebSockets closed, by close code.', ['code'])
  const moved = metrics.histogram(
    'livetally_socket_move_seconds',
    'From the drain frame until a client that takes part left, or was closed.',
    [0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32],
    ['outcome'],
  )
  const { noticeMs, spreadMs, deadlineMs } = options.drain
  const socketsMs = Math.max(spreadMs + SOCKET_CLOSE_MS, deadlineMs - noticeMs - AFTER_SOCKETS_MS)
  const socketDrain = createSocketDrain({
    hub,
    spreadMs,
    endMs: socketsMs - SOCKET_CLOSE_MS,
    clock,
    random: Math.random,
    onMoved: (outcome, tookMs) => moved.observe(tookMs / 1_000, { outcome }),
  })
  const upgrade = createUpgrade({
    hub,
    feed,
    admission: createConnectionLimits({
      maxSockets: edge.maxSockets,
      maxPerAddress: edge.maxSocketsPerAddress,
      handshakesPerSecond: edge.handshakesPerSecond,
      now,
    }),
    inspect(request) {
      const { address, origin } = readPeer(request)
      return { address: networkOf(address), isOriginAllowed: isOriginAllowed(request.headers, origin) }
    },
    now,
    onRefused: (verdict, address) => refusals.add(LIMIT_OF_VERDICT[verdict], address),
    onClosed(code, connection) {
      closes.add(1, { code: isKnownCode(code) ? String(code) : 'other' })
      socketDrain.closed(connection)
    },
  })

  const probes = createProbes({
    phase: life.phase,
    checks: [
      { name: 'bus', critical: false, read: () => bus.health },
      { name: 'source', critical: false, read: () => feed.source },
      ...(options.checks ?? []),
    ],
    loopDelayMs: options.loopDelayMs,
    now,
    drainProgress: life.drainProgress,
    details: () => ({ sockets: hub.size }),
  })
  const answered = metrics.histogram(
    'http_server_request_duration_seconds',
    'HTTP requests answered.',
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    ['method', 'status'],
  )
  const halts = watchHalts(now)
  const app = createApp({
    probes,
    fetch: (request) => api.fetch(request),
    castVote: stampVotes(
      bundleVotes((votes) => api.castVotes(votes)),
      createStamps(() => clock.date()),
      halts,
    ),
    pages: loadPages({ sourceDir: pagesDir, compiledDir }),
    readPeer,
    isOriginAllowed,
    limits: createRequestLimits({ quotas: edge.quotas, onRefused: refusals.add }),
    allowedOrigins: edge.allowedOrigins,
    log,
    onAnswered: (method, status, seconds) => answered.observe(seconds, { method, status: String(status) }),
  })
  // the app refuses a request without a Host header itself, with a problem
  const serverOptions = { ...SERVER_OPTIONS, requireHostHeader: false }
  const server = createAdaptorServer({ fetch: app.fetch, hostname: DEFAULT_HOSTNAME, serverOptions }) as Server
  answerClientErrors(server)
  const connections = createHttpConnections({
    max: edge.maxConnections,
    isProxy: createProxyCheck(edge.trustedProxies),
    closeIdle: () => server.closeIdleConnections(),
    now,
    onRefused: (address) => refusals.add('connections', address),
  })
  const handleUpgrade: typeof upgrade.handle = (request, stream, head) => {
    connections.upgraded(stream)
    upgrade.handle(request, stream, head)
  }
  server.on('upgrade', handleUpgrade)
  const listener = createListener({
    server,
    upgrade: handleUpgrade,
    admit: connections.admit,
    elapsed: () => performance.now(),
    silenceMs: SERVER_OPTIONS.headersTimeout,
  })
  const http = createHttpDrain(server)

  const loops = new AbortController()
  const looping = Promise.all([feed.run(loops.signal), tickUntil(loops.signal), announceUntil(loops.signal)])
  life.release('feed', async () => {
    loops.abort()
    halts.stop()
    // a request of the feed that is not answered must not hold up the shutdown
    await Promise.race([looping, clock.wait(FEED_STOP_MS)])
  })

  return {
    listen: (address) => listener.listen(address),
    stages: [
      { name: 'unready', run: () => http.announce() },
      { name: 'notice', run: (signal) => clock.wait(noticeMs, signal) },
      { name: 'refuse', run: () => upgrade.refuse() },
      {
        name: 'sockets',
        deadlineMs: socketsMs,
        run: async (signal) => log.info(await socketDrain.run(signal), 'the sockets have moved'),
      },
      {
        name: 'finish',
        run(signal) {
          const finished = http.finish(signal)
          listener.close()
          return finished
        },
      },
    ],
  }

  /** Announces this gateway on the bus, so that the organiser sees its sockets and its phase. */
  async function announceUntil(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // a failure is not logged: the organiser's list drops a gateway that has not announced itself for five seconds
      bus.announce({ id: options.id, phase: life.phase.current, sockets: hub.size }).catch(() => {})
      await clock.wait(ANNOUNCE_MS, signal)
    }
  }

  async function tickUntil(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      hub.tick()
      listener.tick()
      await clock.wait(TICK_MS, signal)
    }
  }
}

/** Whether a close code is one of RFC 6455 §7.4.1 and its registry, or of ours: a client may send any other of 2 000. */
function isKnownCode(code: number): boolean {
  return code < 1_016 || Object.values<number>(CloseCode).includes(code)
}
