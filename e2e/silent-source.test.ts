import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTallyClient, type TallyClient } from '../gateway/web/client/tally-client.ts'
import { startCluster } from './support/cluster.ts'

const POLL = {
  poll: 'cats-or-dogs',
  question: 'Cats or dogs?',
  options: [
    { id: 'cats', label: 'Cats' },
    { id: 'dogs', label: 'Dogs' },
  ],
}

/** Resolves when a screen calls its numbers delayed, or no longer does, to the time at which it does so. */
async function says(client: TallyClient, delayed: boolean): Promise<number> {
  while (client.status.delayed !== delayed || client.status.state !== 'live') {
    await new Promise((resolve) => client.addEventListener('status', resolve, { once: true }))
  }
  return performance.now()
}

test('a screen whose source is silent says so within 5 s, one that comes meanwhile at once, and both when it speaks again', async (t) => {
  const cluster = await startCluster()
  t.after(() => cluster[Symbol.asyncDispose]())
  const [gateway, backend] = [cluster.gateways[0], cluster.backends[0]]
  assert.ok(gateway !== undefined && backend !== undefined)
  assert.equal((await cluster.admin('POST', '/api/polls', POLL)).status, 201)
  const open = () => {
    const client = createTallyClient({ url: `${gateway.url}/ws` })
    t.after(() => client.close())
    client.subscribe('cats-or-dogs', () => {})
    return client
  }
  const screen = open()
  await says(screen, false)

  for (const round of [1, 2]) {
    backend.child.send('SIGSTOP')
    const stoppedAt = performance.now()
    const wallAt = Date.now()
    const tookMs = (await says(screen, true)) - stoppedAt
    t.diagnostic(`round ${round}: said so after ${Math.round(tookMs)} ms`)
    assert.ok(tookMs <= 5_000, `${tookMs} ms`)
    const asOf = screen.status.asOf ?? 0
    assert.ok(asOf >= wallAt - 2_500 && asOf <= wallAt + 2_500, 'of the time at which it fell silent')

    const late = open()
    await says(late, true)
    assert.ok(Math.abs((late.status.asOf ?? 0) - asOf) < 1_000, 'a screen that came later says the same time')

    backend.child.send('SIGCONT')
    const continuedAt = performance.now()
    const healedMs = (await Promise.all([screen, late].map((client) => says(client, false)))).map((at) => at - continuedAt)
    t.diagnostic(`round ${round}: live again after ${healedMs.map((ms) => Math.round(ms)).join(' and ')} ms`)
    late.close()
  }
})
