/** Votes in: the ballot box against COPY, a bare bulk insert, and a statement per vote. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { Client } from 'pg'
import { BATCH_SETTINGS, castBatch } from '../../backend/ballots/cast-batch.ts'
import { createBallotBox } from '../../backend/ballots/ballot-box.ts'
import type { Database } from '../../backend/database/database.ts'
import { uuidV7 } from '../../backend/polls/voter-id.ts'
import { verify } from '../../backend/verify/verify.ts'
import { copyIn } from '../../e2e/support/copy-in.ts'
import { EXHAUSTED, interleave, median, quantile, sustain } from './sample.ts'
import { createBenchPoll, createElectorate, LOG, type Scene } from './scene.ts'

export interface IngestFigures {
  readonly copy: number
  readonly unnest: number
  readonly single: number
  readonly box: number
  readonly boxP50Ms: number
  readonly boxP99Ms: number
}

interface Round {
  readonly perSecond: number
  readonly latencies: readonly number[]
}

const IN_FLIGHT = 1_024

/** Votes per second of each contender, and the box's latencies; `flushMs` is added to every flush of the log. */
export async function measureIngest(
  scene: Scene,
  options: { rounds: number; roundMs: number; flushMs: number },
): Promise<IngestFigures> {
  const { database, url } = scene
  const poll = await createBenchPoll(database, `ingest-${options.flushMs}-${Date.now()}`)
  await setFlushDelay(database, options.flushMs)
  await database.query({ text: 'DROP TABLE IF EXISTS bare' })
  await database.query({
    text: 'CREATE TABLE bare (poll_id integer, voter_id uuid, option text, cast_at timestamptz DEFAULT now(), PRIMARY KEY (poll_id, voter_id))',
  })
  const bare = await Promise.all([connect(url), connect(url)])
  const singles = await Promise.all(
    Array.from({ length: 16 }, async (_, slot) => {
      const session = await database.openSession({ label: 'single', settings: BATCH_SETTINGS })
      await session.query({ text: "SELECT set_config('livetally.slot', $1, false)" }, [String(40 + slot)])
      return session
    }),
  )
  const box = createBallotBox({ database, log: LOG, now: Date.now })
  const electorate = createElectorate()
  const truncate = () => database.query({ text: 'TRUNCATE bare' })

  const contenders: Record<string, () => Promise<Round>> = {
    copy: async () => {
      await truncate()
      const chunks = prepare(10_000, ({ voter, option }) => `${poll.id}\t${voter}\t${option}`)
      return await sustain(1, options.roundMs, async () => {
        const [client, lines] = [bare[0], chunks.pop()]
        if (client === undefined || lines === undefined) return EXHAUSTED
        await copyIn(client, 'COPY bare (poll_id, voter_id, option) FROM STDIN', lines)
        return lines.length
      })
    },
    unnest: async () => {
      await truncate()
      const chunks = prepare(1_000, (vote) => vote)
      return await sustain(2, options.roundMs, async (worker) => {
        const votes = chunks.pop()
        if (votes === undefined) return EXHAUSTED
        await bare[worker]?.query({
          name: 'bare',
          text: 'INSERT INTO bare (poll_id, voter_id, option) SELECT $1, u.v, u.o FROM unnest($2::uuid[], $3::text[]) u(v, o)',
          values: [poll.id, `{${votes.map(({ voter }) => voter).join()}}`, `{${votes.map(({ option }) => option).join()}}`],
        })
        return votes.length
      })
    },
    single: async () =>
      await sustain(singles.length, options.roundMs, async (worker) => {
        const session = singles[worker]
        if (session !== undefined) await castBatch(session, [{ slug: poll.slug, ...electorate.vote() }])
      }),
    box: async () =>
      await sustain(IN_FLIGHT, options.roundMs, async () => {
        const { kind } = await box.cast({ slug: poll.slug, ...electorate.vote() })
        if (kind !== 'accepted') throw new Error(kind)
      }),
  }
  try {
    // a slower flush is of no matter to those that flush seldom
    const { single, box: own } = contenders
    const measured = options.flushMs === 0 || single === undefined || own === undefined ? contenders : { single, box: own }
    const results = await interleave(measured, options.rounds)
    await mustAgree(database, poll.slug)
    const rate = (name: string) => median((results[name] ?? []).map(({ perSecond }) => perSecond))
    const latencies = (q: number) => median((results['box'] ?? []).map((round) => quantile(round.latencies, q)))
    return {
      copy: rate('copy'),
      unnest: rate('unnest'),
      single: rate('single'),
      box: rate('box'),
      boxP50Ms: latencies(0.5),
      boxP99Ms: latencies(0.99),
    }
  } finally {
    await box.drain()
    await Promise.all([...bare.map((client) => client.end()), ...singles.map((session) => session.close())])
    await setFlushDelay(database, 0)
  }

  /** New rows in chunks, made before the round's clock runs; on a fast machine they end the round early. */
  function prepare<T>(size: number, form: (vote: { readonly voter: string; readonly option: string }) => T): T[][] {
    const rows = options.roundMs * 600
    return Array.from({ length: Math.ceil(rows / size) }, () =>
      Array.from({ length: size }, () => form({ voter: uuidV7(Date.now()), option: electorate.vote().option })),
    )
  }
}

export interface ReplicaFigures {
  readonly replicas: number
  readonly perSecond: number
  readonly deadlocks: number
  readonly drift: boolean
}

/** The same through several processes, over voters whom all of them share. */
export async function measureReplicas(scene: Scene, replicas: number, roundMs: number): Promise<ReplicaFigures> {
  const { database, url } = scene
  const poll = await createBenchPoll(database, `replicas-${replicas}-${Date.now()}`)
  const before = await deadlocks(database)
  const children = Array.from({ length: replicas }, () =>
    fork(new URL('./replica.ts', import.meta.url), [url, poll.slug, String(Math.ceil(IN_FLIGHT / replicas)), String(roundMs)]),
  )
  const rates = await Promise.all(children.map(async (child) => Number((await once(child, 'message'))[0])))
  const [verified] = await verify({ database, slugs: [poll.slug] })
  return {
    replicas,
    perSecond: rates.reduce((sum, rate) => sum + rate, 0),
    deadlocks: (await deadlocks(database)) - before,
    drift: verified?.ok !== true,
  }
}

async function mustAgree(database: Database, poll: string): Promise<void> {
  const [verified] = await verify({ database, slugs: [poll] })
  if (verified?.ok !== true) throw new Error(`drift: ${JSON.stringify(verified)}`)
}

async function deadlocks(database: Database): Promise<number> {
  const [row] = await database.query<{ n: number }>({
    text: 'SELECT deadlocks::integer AS n FROM pg_stat_database WHERE datname = current_database()',
  })
  return row?.n ?? 0
}

/** A slower disk: Postgres sleeps so long before each flush of its log, in which all who commit meanwhile share. */
export async function setFlushDelay(database: Database, ms: number): Promise<void> {
  await database.query({ text: `ALTER SYSTEM SET commit_delay = ${Math.round(ms * 1_000)}` })
  await database.query({ text: 'ALTER SYSTEM SET commit_siblings = 0' })
  await database.query({ text: 'SELECT pg_reload_conf(), pg_sleep(0.2)' })
}

async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url })
  await client.connect()
  return client
}
