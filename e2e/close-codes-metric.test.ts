import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startCluster } from './support/cluster.ts'
import { watch } from './support/watcher.ts'

test('whatever codes clients close with, the metric has a series for the known ones and one for all others', async (t) => {
  const cluster = await startCluster()
  t.after(() => cluster[Symbol.asyncDispose]())
  const [gateway] = cluster.gateways
  assert.ok(gateway !== undefined)
  const options = ['cats', 'dogs'].map((id) => ({ id, label: id }))
  assert.equal((await cluster.admin('POST', '/api/polls', { poll: 'tea', question: 'Tea?', options })).status, 201)

  const strange = Array.from({ length: 40 }, (_, index) => 3_000 + index * 40)
  const codes = [1000, 1001, 1001, 4404, ...strange]
  const screens = await Promise.all(codes.map(() => watch(gateway.url, ['tea'])))
  for (const [index, screen] of screens.entries()) screen.socket.close(codes[index])
  await Promise.all(screens.map(({ closed }) => closed))

  const { metricsPort } = await gateway.child.logged(({ msg }) => msg === 'listening')
  const closes = async () => {
    const text = await (await fetch(`http://127.0.0.1:${Number(metricsPort)}/metrics`)).text()
    const series = [...text.matchAll(/^livetally_socket_closes_total\{.*code="(?<code>\w+)".*\} (?<count>\d+)$/gm)]
    return Object.fromEntries(series.map(({ groups }) => [groups?.['code'], Number(groups?.['count'])]))
  }
  // a client has closed a moment before the gateway hears of it
  const total = (counts: Record<string, number>) => Object.values(counts).reduce((sum, count) => sum + count, 0)
  while (total(await closes()) < codes.length) await new Promise((resolve) => setTimeout(resolve, 20))
  assert.deepEqual(await closes(), { 1000: 1, 1001: 2, 4404: 1, other: strange.length })
})
