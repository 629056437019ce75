import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { WebSocketServer, type WebSocket as Peer } from 'ws'
import type { TallyClient } from './client/tally-client.ts'
import { shareClient } from './shared-client.ts'

/** A server that sends a tally of each poll, and closes with 4404 the sockets that ask for `ghosts` first. */
async function serve(t: TestContext) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(server, 'listening')
  const peers: Peer[] = []
  const asked: string[][] = []
  server.on('connection', (peer, request) => {
    const polls = new URL(request.url ?? '', 'ws://x').searchParams.getAll('poll')
    peers.push(peer)
    asked.push(polls)
    if (polls[0] === 'ghosts') return peer.close(4404, 'no such poll')
    for (const poll of polls) {
      const settings = { question: '?', options: [], state: 'open', resultsVisible: true, opensAt: null, closesAt: null }
      peer.send(JSON.stringify({ type: 'poll', poll, ...settings }))
      peer.send(
        JSON.stringify({ type: 'tally', poll, epoch: 1, version: 1, counts: {}, total: 0, at: '2026-01-01T00:00:00.000Z' }),
      )
    }
  })
  t.after(() => {
    for (const peer of peers) peer.terminate()
    server.close()
  })
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws`, asked, peers }
}

const live = (client: TallyClient, poll: string) => new Promise((resolve) => client.subscribe(poll, resolve))
const ended = async (client: TallyClient) => {
  while (client.status.state !== 'closed') {
    await new Promise((resolve) => client.addEventListener('status', resolve, { once: true }))
  }
}

test('the polls of a page are spread over connections of sixteen; who follows the same poll, or none of its own, shares one', async (t) => {
  const { url, asked } = await serve(t)
  const polls = Array.from({ length: 35 }, (_, index) => `poll-${index}`)
  const page = shareClient(url)
  const users = polls.map((poll) => ({ poll, ...shareClient(url, poll) }))
  const again = shareClient(url, 'poll-20')
  assert.equal(page.client, users[0]?.client)
  assert.equal(again.client, users[20]?.client)
  await Promise.all(users.map(({ client, poll }) => live(client, poll)))
  assert.deepEqual(
    asked.map(({ length }) => length).toSorted((a, b) => b - a),
    [16, 16, 3],
  )
  assert.deepEqual(new Set(asked.flat()), new Set(polls))
  for (const { release } of [...users, again]) release()
  assert.equal(users[0]?.client.status.state, 'live', 'the page has it still')
  assert.equal(users[20]?.client.status.state, 'closed')
  page.release()
  assert.equal(page.client.status.state, 'closed')
})

test('a place that was given back is given to another poll', async (t) => {
  const { url } = await serve(t)
  const users = Array.from({ length: 16 }, (_, index) => shareClient(url, `poll-${index}`))
  users[3]?.release()
  const next = shareClient(url, 'poll-16')
  assert.equal(next.client, users[0]?.client)
  const beyond = shareClient(url, 'poll-17')
  assert.notEqual(beyond.client, users[0]?.client)
  for (const { release } of [...users.filter((_, index) => index !== 3), next, beyond]) release()
})

test('a client that the server has ended for good is replaced for whoever comes next', async (t) => {
  const { url } = await serve(t)
  const first = shareClient(url, 'ghosts')
  first.client.subscribe('ghosts', () => {})
  await ended(first.client)
  const second = shareClient(url, 'tea')
  assert.notEqual(second.client, first.client)
  await live(second.client, 'tea')
  first.release()
  assert.equal(second.client.status.state, 'live')
  assert.equal(shareClient(url, 'mate').client, second.client)
  second.client.close()
})
