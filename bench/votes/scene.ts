/** The database the bench works on, and votes to cast. */
import type { Database } from '../../backend/database/database.ts'
import { connectPostgres } from '../../backend/database/postgres.ts'
import type { Poll } from '../../backend/polls/poll.ts'
import { createPollStore } from '../../backend/polls/poll-store.ts'
import { uuidV7 } from '../../backend/polls/voter-id.ts'
import { createStamps } from '../../shared/protocol/vote-order.ts'
import type { Log } from '../../shared/telemetry/log.ts'

const quiet = () => {}
export const LOG: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet, child: () => LOG }

export interface Scene {
  readonly url: string
  readonly database: Database
}

export async function openScene(url: string): Promise<Scene> {
  return { url, database: await connectPostgres({ url, log: LOG, maxConnections: 4 }) }
}

export const OPTIONS = ['cats', 'dogs', 'fish', 'birds'] as const

export async function createBenchPoll(database: Database, slug: string): Promise<Poll> {
  const created = await createPollStore(database).create({
    slug,
    question: 'Which?',
    options: OPTIONS.map((id) => ({ id, label: id })),
  })
  if (created.kind !== 'created') throw new Error(created.kind)
  return created.poll
}

/** Voters of whom one in five has voted before. */
export function createElectorate(random: () => number = Math.random) {
  const known: string[] = []
  const stamp = createStamps(Date.now)
  return {
    vote: (): { readonly voter: string; readonly option: string; readonly order: number } => {
      const option = OPTIONS[Math.floor(random() * OPTIONS.length)] ?? 'cats'
      const again = random() < 0.2 ? known[Math.floor(random() * known.length)] : undefined
      const voter = again ?? uuidV7(Date.now())
      if (again === undefined && known.length < 200_000) known.push(voter)
      return { voter, option, order: stamp() }
    },
  }
}
