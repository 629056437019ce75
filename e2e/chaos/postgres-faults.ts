/** What befalls single server processes, locks and connections of Postgres. */
import { setTimeout as delay } from 'node:timers/promises'
import { Client, type DatabaseError } from 'pg'
import type { Journal } from './journal.ts'
import { NAME } from './truth.ts'

/** How long a Postgres may take to be back after a server process of it was killed. */
const RECOVERY_MS = 60_000
/** A session that never waits longer than this for a lock. */
const LOCK_WAIT_MS = 10_000
const FULL_EVERY_MS = 200
/** Of a statement whose program has failed. */
const PROGRAM_FAILED = '38000'

/** A process that serves one of the services' connections, a busy one if there is any. */
const VICTIM = `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> '${NAME}'
ORDER BY state = 'active' DESC, random() LIMIT 1`
const CUT_OTHERS = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND application_name <> '${NAME}'`

/** Kills one process of the server: Postgres ends all the others, and recovers. Resolves once it answers again. */
export async function killServerProcess(url: string, journal: Journal): Promise<void> {
  // the answer may be lost with the connection
  await withClient(url, async (client) => journal.write({ killed: await signalOne(client, 'KILL') })).catch(() => {})
  const deadline = Date.now() + RECOVERY_MS
  while (!(await isReachable(url))) {
    if (Date.now() > deadline) throw new Error(`Postgres has not recovered in ${RECOVERY_MS} ms`)
    await delay(50)
  }
}

/** Stops one process of the server for so long. */
export async function stopServerProcess(url: string, journal: Journal, forMs: number): Promise<void> {
  await withClient(url, async (client) => {
    const pid = await signalOne(client, 'STOP')
    journal.write({ stopped: pid })
    try {
      await delay(forMs)
    } finally {
      if (pid !== undefined) await signal(client, pid, 'CONT')
    }
  })
}

/** Locks the ballots against everybody for so long. */
export async function lockBallots(url: string, forMs: number): Promise<void> {
  await withClient(url, async (client) => {
    await client.query('BEGIN')
    await client.query('LOCK TABLE livetally.ballots')
    await delay(forMs)
    await client.query('COMMIT')
  })
}

/** Takes every connection that there is, those of the services as well, for so long. */
export async function holdConnections(url: string, journal: Journal, forMs: number): Promise<void> {
  const held: Client[] = []
  const until = Date.now() + forMs
  let most = 0
  try {
    while (Date.now() < until) {
      if (held[0] !== undefined) await held[0].query(CUT_OTHERS)
      for (let client = await open(url); client !== undefined; client = await open(url)) held.push(client)
      most = Math.max(most, held.length)
      await delay(FULL_EVERY_MS)
    }
  } finally {
    await Promise.all(held.map((client) => client.end().catch(() => {})))
    journal.write({ heldConnections: most })
  }
}

/**
 * Has the server's own shell send it, since whoever runs Postgres, and in which container, may signal its processes. The shell first reads
 * what is copied to it: Postgres fails when nobody does.
 */
async function signal(client: Client, pid: number, name: 'KILL' | 'STOP' | 'CONT'): Promise<void> {
  await client.query(`COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; kill -${name} ${pid}'`)
}

/** Resolves to the process that got it; undefined where no service is connected. */
async function signalOne(client: Client, name: 'KILL' | 'STOP'): Promise<number | undefined> {
  for (;;) {
    const { rows } = await client.query<{ pid: number }>(VICTIM)
    const pid = rows[0]?.pid
    if (pid === undefined) return undefined
    try {
      await signal(client, pid, name)
      return pid
    } catch (error) {
      // its connection has been closed meanwhile, so there is no such process
      if ((error as DatabaseError).code !== PROGRAM_FAILED) throw error
    }
  }
}

function create(url: string): Client {
  const settings = { application_name: NAME, connectionTimeoutMillis: 5_000, lock_timeout: LOCK_WAIT_MS }
  const client = new Client({ connectionString: url, ...settings })
  client.on('error', () => {}) // the next query says so
  return client
}

/** Undefined where Postgres takes no connection. */
async function open(url: string): Promise<Client | undefined> {
  const client = create(url)
  return await client.connect().then(
    () => client,
    () => undefined,
  )
}

async function isReachable(url: string): Promise<boolean> {
  const client = await open(url)
  await client?.end().catch(() => {})
  return client !== undefined
}

async function withClient(url: string, use: (client: Client) => Promise<void>): Promise<void> {
  const client = create(url)
  await client.connect()
  try {
    await use(client)
  } finally {
    await client.end().catch(() => {})
  }
}
