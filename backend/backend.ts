/** Assembles the backend: from a database and a bus to an API, and the stages in which it shuts down. */
import type { TallyBus } from '../shared/bus/tally-bus.ts'
import type { Clock } from '../shared/lifecycle/clock.ts'
import type { Stage } from '../shared/lifecycle/drain.ts'
import { createProbes, type Check } from '../shared/lifecycle/probes.ts'
import type { ServiceContext } from '../shared/lifecycle/service.ts'
import type { Log } from '../shared/telemetry/log.ts'
import type { Metrics } from '../shared/telemetry/metrics.ts'
import { createStamps } from '../shared/protocol/vote-order.ts'
import { createApp } from './http/app.ts'
import { createBallotBox, type BallotBox } from './ballots/ballot-box.ts'
import type { Database } from './database/database.ts'
import { createMarks } from './database/mark.ts'
import { createAdopted } from './adopt/adopt.ts'
import { createSourceWatch } from './adopt/source-watch.ts'
import { exportCsv } from './tallies/export-csv.ts'
import { createPollStore, type PollStore } from './polls/poll-store.ts'
import { createPollViews } from './http/poll-view.ts'
import { createPoller } from './tallies/poller.ts'
import { createTallyReader } from './tallies/tally-reader.ts'
import { createUpkeep } from './tallies/upkeep.ts'
import { createTicketStore } from './polls/ticket-store.ts'
import { createVoteCaster, type VoteCaster } from './http/cast-vote.ts'
import { createVoterCookie } from './http/voter-cookie.ts'

export interface BackendOptions {
  readonly life: ServiceContext
  readonly database: Database
  readonly bus: TallyBus
  /** Any of them makes an organiser. */
  readonly adminTokens: readonly string[]
  readonly cookieSecret: string
  /** Cookies that were signed with one of these are good, and are signed anew. */
  readonly previousCookieSecrets: readonly string[]
  /** Votes per transaction at most; the database's own default when absent. */
  readonly batchMax?: number
  /** Publications of one poll at most; 20 when absent. */
  readonly talliesPerSecond?: number
  readonly loopDelayMs: () => number
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
}

export interface Backend {
  /** Answers a request to the API. */
  readonly fetch: (request: Request) => Promise<Response>
  /** Casts the votes of a bundle in process, without an HTTP request. */
  readonly castVotes: VoteCaster['castAll']
  readonly polls: PollStore
  readonly ballotBox: BallotBox
  /** What the backend last saw of Postgres and the bus; readiness depends on them. */
  readonly checks: readonly Check[]
  /** The stages of the drain, to be run once no more requests come in. */
  readonly stages: readonly Stage[]
}

/** Assembles the backend and starts its poller, which publishes the first tallies as soon as database and bus answer. */
export function createBackend(options: BackendOptions): Backend {
  const { life, database, bus, clock, log, metrics } = options
  const now = () => clock.now()

  const polls = createPollStore(database)
  const tallies = createTallyReader(database)
  const marks = createMarks({ secret: options.cookieSecret })
  const stuck = metrics.counter('livetally_poller_stuck_total', 'Stages of the poller given up and begun again.', ['stage'])
  const poller = createPoller({
    store: tallies,
    bus,
    log,
    clock,
    // PGlite's only connection is shared with statements that may take long
    readMs: database.kind === 'pglite' ? 60_000 : 6_000,
    onStuck: (stage) => stuck.add(1, { stage }),
    mark: () => database.mark && marks.write(database.mark),
    maxPerSecond: options.talliesPerSecond ?? 20,
  })
  const ballotBox = createBallotBox({
    database,
    log,
    now,
    onCommitted: () => poller.wake(),
    ...(options.batchMax === undefined ? {} : { batchMax: options.batchMax }),
  })
  const upkeep = createUpkeep({ database, advance: polls.advance, record: tallies.recordHistory, log, now })
  const sources = createSourceWatch({ database, log, now })
  const checks: Check[] = [
    { name: 'postgres', critical: true, read: () => poller.reading },
    { name: 'bus', critical: false, read: () => bus.health },
    { name: 'publishing', critical: false, read: () => poller.publishing },
    { name: 'upkeep', critical: false, read: () => upkeep.health },
    { name: 'tables', critical: false, read: () => sources.health },
  ]
  const probes = createProbes({
    phase: life.phase,
    checks,
    loopDelayMs: options.loopDelayMs,
    now,
    drainProgress: life.drainProgress,
    details: () => ({ votesWaiting: ballotBox.queued }),
  })
  const outcomes = metrics.counter('livetally_votes_total', 'Votes, by how they ended.', ['outcome'])
  metrics.gauge('livetally_votes_waiting', 'Votes waiting for their transaction.', () => ballotBox.queued)
  const voters = createVoterCookie({
    secret: options.cookieSecret,
    previousSecrets: options.previousCookieSecrets,
    date: () => clock.date(),
  })
  const tickets = createTicketStore(database)
  const stamp = createStamps(() => clock.date())
  const votes = createVoteCaster({ ballotBox, tickets, voters, stamp, log, onVote: (outcome) => outcomes.add(1, { outcome }) })
  const app = createApp({
    probes,
    polls,
    views: createPollViews({ database, now, isSourceGone: sources.isGone }),
    ballotBox,
    voters,
    votes,
    tickets,
    exportCsv: (slug) => exportCsv(database, slug),
    createAdopted: (poll, source) => createAdopted(database, poll, source),
    gateways: () => bus.present(),
    adminTokens: options.adminTokens,
    log,
  })

  const polling = new AbortController()
  const polled = poller.run(polling.signal)
  const keeping = new AbortController()
  const kept = Promise.all([upkeep.run(keeping.signal), sources.run(keeping.signal)])
  /** Stops the poller, which reads and publishes once more what was just committed, and then the upkeep, which records it. */
  const stopPolling = async () => {
    polling.abort()
    await polled
    keeping.abort()
    await kept
  }
  life.release('poller', async () => {
    await stopPolling()
    await tallies.close()
  })

  return {
    fetch: async (request) => await app.fetch(request),
    castVotes: votes.castAll,
    polls,
    ballotBox,
    checks,
    stages: [
      { name: 'votes', run: (signal) => ballotBox.drain(signal) },
      { name: 'tallies', run: stopPolling },
    ],
  }
}
