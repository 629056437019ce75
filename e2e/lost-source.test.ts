import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client } from 'pg'
import { startCluster } from './support/cluster.ts'
import { watch } from './support/watcher.ts'

interface Ready {
  readonly status: string
  readonly checks: { readonly tables?: { readonly ok: boolean; readonly error?: string } }
}

test('a poll whose table was dropped keeps its count, and says in the list, in /ready and in the log that its source is gone', async (t) => {
  const cluster = await startCluster({ asOwner: true })
  t.after(() => cluster[Symbol.asyncDispose]())
  const [[gateway], [backend]] = [cluster.gateways, cluster.backends]
  assert.ok(gateway !== undefined && backend !== undefined)
  const program = new Client(cluster.databaseUrl)
  await program.connect()
  await program.query("CREATE TABLE votes (vote text); INSERT INTO votes VALUES ('a'), ('b'), ('b')")
  const options = ['a', 'b'].map((id) => ({ id, label: id }))
  const created = { poll: 'adopted', question: 'Adopted?', options, source: { table: 'votes', optionColumn: 'vote' } }
  assert.equal((await cluster.admin('POST', '/api/polls', created)).status, 201)
  await cluster.admin('POST', '/api/polls', { poll: 'own', question: 'Own?', options })
  const screen = await watch(gateway.url, ['adopted'])
  await screen.until((frame) => frame.type === 'tally' && frame.total === 3)

  const listed = async () => {
    const { polls } = (await (await fetch(`${gateway.url}/api/polls`)).json()) as {
      polls: { poll: string; total: number; sourceGone?: boolean }[]
    }
    return Object.fromEntries(polls.map(({ poll, total, sourceGone }) => [poll, { total, sourceGone }]))
  }
  const ready = async () => (await (await fetch(`${backend.url}/ready`)).json()) as Ready
  assert.deepEqual(await listed(), { adopted: { total: 3, sourceGone: undefined }, own: { total: 0, sourceGone: undefined } })
  assert.equal((await ready()).status, 'ok')

  await program.query('DROP TABLE votes')
  await program.end()
  const line = await backend.child.logged(({ msg }) => /keeps its last count/.test(msg ?? ''), { timeoutMs: 30_000 })
  assert.deepEqual([line['poll'], line['table']], ['adopted', 'public.votes'])
  assert.deepEqual(await listed(), { adopted: { total: 3, sourceGone: true }, own: { total: 0, sourceGone: undefined } })
  const { status, checks } = await ready()
  assert.deepEqual([status, checks.tables?.error], ['degraded', 'adopted: the table public.votes is gone'])
  screen.close()
})
