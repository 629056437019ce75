import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createManualClock } from '../../e2e/support/manual-clock.ts'
import { SUBPROTOCOL } from '../../shared/protocol/frames.ts'
import { createSocketDrain, type DrainedConnection, type SocketDrainReport } from './socket-drain.ts'

const OVERLAP_MS = 4_000

/** A gateway's sockets: each remembers when it was told and closed, and its client leaves so long after it was told. */
function setup({
  sdk = 0,
  plain = 0,
  leavesAfterMs = (_index: number): number => Infinity,
  endMs = 10_000,
  answersClose = true,
}) {
  const clock = createManualClock(1_000)
  const connections = new Set<DrainedConnection>()
  const clients = Array.from({ length: sdk + plain }, (_, index) => {
    const client = { told: '', toldAt: 0, closedAt: 0, code: 0, leftAt: 0, terminated: false, takesPart: index < sdk }
    const gone = () => {
      connections.delete(connection)
      drain.closed(connection)
    }
    const leave = async (afterMs: number) => {
      await clock.wait(afterMs)
      if (client.code !== 0) return
      client.leftAt = clock.now()
      gone()
    }
    const connection: DrainedConnection = {
      protocol: client.takesPart ? SUBPROTOCOL : '',
      writeSoon(frame) {
        client.told = frame.toString('utf8', 2)
        client.toldAt = clock.now()
        if (client.takesPart && leavesAfterMs(index) < Infinity) void leave(leavesAfterMs(index))
      },
      close(code) {
        client.code = code
        client.closedAt = clock.now()
        if (answersClose) gone()
      },
      terminate: () => void (client.terminated = true),
    }
    connections.add(connection)
    return client
  })
  const moved: string[] = []
  const hub = {
    get size() {
      return connections.size
    },
    connections: () => connections,
  }
  const drain = createSocketDrain({
    hub,
    spreadMs: 10_000,
    endMs,
    clock,
    random: () => 0.5,
    onMoved: (outcome) => moved.push(outcome),
  })
  const abort = new AbortController()
  const startedAt = clock.now()
  let report: (SocketDrainReport & { readonly tookMs: number }) | undefined
  const done = drain.run(abort.signal).then((figures) => (report = { ...figures, tookMs: clock.now() - startedAt }))
  return { clock, clients, moved, done, abort, startedAt, report: () => report }
}

test('plain clients are told one after the other and closed with 1012 an overlap later, within the spread', async () => {
  const { clock, clients, startedAt, report } = setup({ plain: 100, endMs: 25_000 })
  await clock.advance(10_050)
  assert.ok(report() !== undefined)
  for (const { told, toldAt, closedAt, code } of clients) {
    assert.deepEqual([JSON.parse(told), code], [{ type: 'drain', closeAfterMs: OVERLAP_MS }, 1012])
    assert.ok(Math.abs(closedAt - toldAt - OVERLAP_MS) <= 10, `closed ${closedAt - toldAt} ms after it was told`)
    assert.ok(closedAt - startedAt <= 10_010)
  }
  const told = clients.map(({ toldAt }) => toldAt).toSorted((a, b) => a - b)
  for (let index = 10; index < told.length; index += 1) {
    assert.ok((told[index] ?? 0) - (told[index - 10] ?? 0) >= 590, 'no more than ten are told in six tenths of a second')
  }
})

test('clients that move are told at the even pace, and the drain is over when the last has left', async () => {
  const { clock, moved, report } = setup({ sdk: 1_000, endMs: 25_000, leavesAfterMs: (index) => 100 + ((index * 37) % 1_200) })
  await clock.advance(7_500)
  assert.equal(moved.length, 1_000)
  const { clients, plain, left, closed, medianMs, p99Ms, tookMs } = report() ?? assert.fail('it is not over')
  assert.deepEqual({ clients, plain, left, closed }, { clients: 1_000, plain: 0, left: 1_000, closed: 0 })
  assert.ok(tookMs <= 6_000 + 1_300 + 20, `it took ${tookMs} ms`)
  assert.ok(Math.abs(medianMs - 700) < 20 && Math.abs(p99Ms - 1_288) < 20, `median ${medianMs} ms, p99 ${p99Ms} ms`)
})

test('clients that take longer than the overlap to move are not closed as long as the end is far', async () => {
  const { clock, clients, report } = setup({ sdk: 300, endMs: 25_000, leavesAfterMs: () => 6_000 })
  await clock.advance(25_100)
  const { left, closed, medianMs } = report() ?? assert.fail('it is not over')
  assert.deepEqual({ left, closed, medianMs }, { left: 300, closed: 0, medianMs: 6_000 })
  assert.ok(clients.every(({ leftAt }) => leftAt > 0))
})

test('clients that never move are closed one by one until the end, each an overlap or more after it was told', async () => {
  const { clock, clients, startedAt, moved, report } = setup({ sdk: 300, plain: 30, endMs: 25_000 })
  await clock.advance(25_050)
  const { left, closed, tookMs } = report() ?? assert.fail('it is not over')
  assert.deepEqual({ left, closed }, { left: 0, closed: 300 })
  assert.equal(moved.filter((outcome) => outcome === 'closed').length, 300)
  assert.ok(tookMs <= 25_050, `it took ${tookMs} ms`)
  for (const { toldAt, closedAt, code } of clients) {
    assert.equal(code, 1012)
    assert.ok(closedAt - toldAt >= OVERLAP_MS, `closed ${closedAt - toldAt} ms after it was told`)
  }
  const closes = clients.filter(({ takesPart }) => takesPart).map(({ closedAt }) => closedAt - startedAt)
  assert.ok(Math.min(...closes) >= 18_990, 'the first is closed the length of the announcements before the end')
  const inOneSecond = Map.groupBy(closes, (at) => Math.floor(at / 1_000))
  for (const [second, those] of inOneSecond) assert.ok(those.length <= 60, `${those.length} are closed in second ${second}`)
})

test('a few that are left are closed in the last moments only', async () => {
  const { clock, clients, startedAt } = setup({
    sdk: 300,
    endMs: 25_000,
    leavesAfterMs: (index) => (index % 60 === 0 ? Infinity : 500),
  })
  await clock.advance(25_050)
  const closes = clients.filter(({ code }) => code === 1012).map(({ closedAt }) => closedAt - startedAt)
  assert.equal(closes.length, 5)
  assert.ok(Math.min(...closes) >= 24_890, `the first is closed after ${Math.min(...closes)} ms`)
})

test('a drain without time to spare tells and closes evenly over the spread', async () => {
  const { clock, clients, report } = setup({ sdk: 100, endMs: 10_000 })
  await clock.advance(10_050)
  assert.ok(report() !== undefined)
  for (const { toldAt, closedAt } of clients) assert.ok(Math.abs(closedAt - toldAt - OVERLAP_MS) <= 60)
})

test('does nothing when nobody is connected', async () => {
  const { done, clock } = setup({})
  const { clients } = await done
  assert.deepEqual([clients, clock.now()], [0, 1_000])
})

test('cuts whoever is left when its time is over', async () => {
  const { clock, clients, done, abort } = setup({ sdk: 1, answersClose: false })
  await clock.advance(10_500)
  assert.equal(clients[0]?.code, 1012)
  abort.abort()
  await done
  assert.equal(clients[0]?.terminated, true)
})
