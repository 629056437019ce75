/** Tallies out: what reading one costs as the electorate grows, and how soon a commit is published. */
import { systemClock } from '../../shared/lifecycle/clock.ts'
import { readFile } from 'node:fs/promises'
import { createBallotBox } from '../../backend/ballots/ballot-box.ts'
import { createPoller } from '../../backend/tallies/poller.ts'
import { createTallyReader } from '../../backend/tallies/tally-reader.ts'
import { uuidV7 } from '../../backend/polls/voter-id.ts'
import { createMemoryBus } from '../../shared/bus/memory-bus.ts'
import { median, quantile } from './sample.ts'
import { createBenchPoll, LOG, type Scene } from './scene.ts'

/** Casts `ballots` at once, as another program would. */
export async function fill(scene: Scene, pollId: number, ballots: number): Promise<void> {
  for (let done = 0; done < ballots; done += 500_000) {
    await scene.database.withTransaction(
      async (transaction) => {
        await transaction.query(
          {
            text: `INSERT INTO livetally.ballots (poll_id, voter_id, option)
              SELECT $1, (lpad(to_hex($2::bigint + i), 12, '0') || '70008000000000000000')::uuid, (ARRAY['cats', 'dogs', 'fish', 'birds'])[1 + i % 4]
              FROM generate_series(1, $3::integer) i`,
          },
          [pollId, done, Math.min(500_000, ballots - done)],
        )
      },
      { unhurried: true },
    )
  }
}

export interface ReadFigures {
  /** Reading what one vote changed, in ms. */
  readonly changeMs: number
  /** Reading one poll afresh, in ms. */
  readonly freshMs: number
}

/** What it costs to read one poll in which somebody has just voted. */
export async function measureReads(
  scene: Scene,
  poll: { readonly id: number; readonly slug: string },
  reads = 300,
): Promise<ReadFigures> {
  const { database } = scene
  const store = createTallyReader(database)
  const [changes, fresh]: [number[], number[]] = [[], []]
  await store.readChanges()
  for (let i = 0; i < reads; i++) {
    await database.query({ name: 'one more', text: "INSERT INTO livetally.ballots VALUES ($1, $2, 'cats')" }, [
      poll.id,
      uuidV7(Date.now()),
    ])
    const startedAt = performance.now()
    const news = await store.readChanges()
    const readAt = performance.now()
    await store.read(poll.slug)
    fresh.push(performance.now() - readAt)
    changes.push(readAt - startedAt)
    if (news.length !== 1) throw new Error(`${news.length} polls changed`)
  }
  await store.close()
  return { changeMs: median(changes), freshMs: median(fresh) }
}

/** The same number the slow way, in ms. */
export async function measureGroupBy(scene: Scene, pollId: number, runs = 3): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < runs; i++) {
    await scene.database.withTransaction(
      async (transaction) => {
        const startedAt = performance.now()
        await transaction.query({ text: 'SELECT option, count(*) FROM livetally.ballots WHERE poll_id = $1 GROUP BY option' }, [
          pollId,
        ])
        times.push(performance.now() - startedAt)
      },
      { unhurried: true },
    )
  }
  return median(times)
}

/** What ten active polls cost to read, alone or among many idle ones, in ms. */
export async function measureActive(scene: Scene, polls: readonly number[], reads = 100): Promise<number> {
  const { database } = scene
  const store = createTallyReader(database)
  await store.readChanges()
  const times: number[] = []
  for (let i = 0; i < reads; i++) {
    await database.query(
      {
        name: 'ten more',
        text: "INSERT INTO livetally.ballots SELECT p, gen_random_uuid(), 'cats' FROM unnest($1::integer[]) p ORDER BY p",
      },
      [`{${polls.join()}}`],
    )
    const startedAt = performance.now()
    await store.readChanges()
    times.push(performance.now() - startedAt)
  }
  await store.close()
  return median(times)
}

/** From a commit to the bus, in ms: of votes through this replica, and of another program's. */
export async function measureLatency(
  scene: Scene,
  votes: number,
): Promise<{ ownP99Ms: number; othersP99Ms: number; ownP50Ms: number; othersP50Ms: number }> {
  const { database } = scene
  const poll = await createBenchPoll(database, `latency-${Date.now()}`)
  const store = createTallyReader(database)
  const bus = createMemoryBus({ now: Date.now })
  const poller = createPoller({ store, bus, log: LOG, clock: systemClock })
  const box = createBallotBox({ database, log: LOG, now: Date.now, onCommitted: () => poller.wake() })
  const stop = new AbortController()
  const run = poller.run(stop.signal)
  let heard: (() => void) | undefined
  await bus.subscribe(poll.slug, () => heard?.())
  const samples: [number[], number[]] = [[], []]
  for (let i = 0; i < votes * 2; i++) {
    // apart, so that each is published by itself, and at any point of the poller's interval
    await new Promise((resolve) => setTimeout(resolve, 55 + Math.random() * 60))
    const published = new Promise<number>((resolve) => (heard = () => resolve(performance.now())))
    if (i % 2 === 0) await box.cast({ slug: poll.slug, voter: uuidV7(Date.now()), option: 'cats', order: 1 })
    else
      await database.query({ name: 'other', text: "INSERT INTO livetally.ballots VALUES ($1, $2, 'dogs')" }, [
        poll.id,
        uuidV7(Date.now()),
      ])
    const committedAt = performance.now()
    samples[i % 2 === 0 ? 0 : 1].push(Math.max(0, (await published) - committedAt))
  }
  stop.abort()
  await run
  await box.drain()
  await store.close()
  const [own, others] = samples
  return {
    ownP50Ms: median(own),
    ownP99Ms: quantile(own, 0.99),
    othersP50Ms: median(others),
    othersP99Ms: quantile(others, 0.99),
  }
}

/** The share of a core that a poller with nothing to do takes, here and in Postgres. Undefined where /proc is not there. */
export async function measureIdle(scene: Scene, ms: number): Promise<number | undefined> {
  const store = createTallyReader(scene.database)
  const bus = createMemoryBus({ now: Date.now })
  const poller = createPoller({ store, bus, log: LOG, clock: systemClock })
  const stop = new AbortController()
  const run = poller.run(stop.signal)
  await new Promise((resolve) => setTimeout(resolve, 500))
  const [row] = await scene.database.query<{ pid: number }>({
    text: "SELECT pid FROM pg_stat_activity WHERE application_name = 'livetally poller' ORDER BY backend_start DESC LIMIT 1",
  })
  const serverMs = async () => {
    const stat = await readFile(`/proc/${row?.pid}/stat`, 'utf8').catch(() => undefined)
    const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
    // utime and stime, in hundredths of a second
    return fields === undefined ? undefined : (Number(fields[11]) + Number(fields[12])) * 10
  }
  const [before, ownBefore] = [await serverMs(), process.cpuUsage()]
  await new Promise((resolve) => setTimeout(resolve, ms))
  const [after, own] = [await serverMs(), process.cpuUsage(ownBefore)]
  stop.abort()
  await run
  await store.close()
  return before === undefined || after === undefined ? undefined : (after - before + (own.user + own.system) / 1_000) / ms
}
