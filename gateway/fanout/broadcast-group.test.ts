import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { BroadcastGroup, type Topic } from './broadcast-group.ts'
import { type Connection, MAX_QUEUED } from './connection.ts'

/** A connection that writes down the bytes it is sent, a letter and a digit for each poll's version. */
function connection() {
  const bytes: string[] = []
  const write = (frame: Buffer) => bytes.push(frame.toString()) > 0
  const fake = { seen: -1, write, queue: write }
  // the part of a connection that a group uses
  return { bytes, connection: fake as unknown as Connection }
}

const NOTHING = Buffer.alloc(0)

function setup(size: number) {
  const topics = new Map(['a', 'b', 'c'].map((poll): [string, Topic] => [poll, { pollFrame: NOTHING, tallyFrame: NOTHING }]))
  const waiting: (() => void)[] = []
  let elapsed = 0
  let written = 0
  // the time is over whenever the clock is read, so each turn writes to one stride of sockets
  const group = new BroadcastGroup({
    topics: [...topics.values()],
    source: { frame: NOTHING },
    defer: (run) => void waiting.push(run),
    elapsed: () => (elapsed += 100),
    onWritten: (n) => void (written += n),
  })
  const members = Array.from({ length: size }, () => connection())
  for (const member of members) group.add(member.connection)
  return {
    group,
    members,
    /** A poll has a new tally. */
    notify(slug: string, version: number) {
      const topic = topics.get(slug)
      assert.ok(topic !== undefined)
      topic.tallyFrame = Buffer.from(`${slug}${version};`)
      group.notify(topic, false)
    },
    waiting,
    turn: () => waiting.shift()?.(),
    finish() {
      for (let turns = 0; waiting.length > 0; turns += 1) {
        assert.ok(turns < 10_000, 'it comes to an end')
        waiting.shift()?.()
      }
    },
    written: () => written,
  }
}

test('writing to many pauses, and everyone is told once', () => {
  const { notify, members, turn, finish, written } = setup(3 * MAX_QUEUED)
  notify('a', 0)
  turn()
  assert.equal(members.filter(({ bytes }) => bytes.length > 0).length, MAX_QUEUED)
  finish()
  assert.ok(members.every(({ bytes }) => bytes.join('') === 'a0;'))
  assert.equal(written(), 3 * MAX_QUEUED)
})

test('those not yet reached get the newer tally in place of the older', () => {
  const { notify, members, turn, finish } = setup(2 * MAX_QUEUED + 2)
  notify('a', 0)
  turn()
  notify('a', 1)
  finish()
  assert.deepEqual(new Set(members.slice(0, MAX_QUEUED).map(({ bytes }) => bytes.join(''))), new Set(['a0;a1;']))
  assert.deepEqual(new Set(members.slice(MAX_QUEUED).map(({ bytes }) => bytes.join(''))), new Set(['a1;']))
})

test('someone who joins while others are still being told gets the latest at once, and not again', () => {
  const { group, notify, turn, finish } = setup(2 * MAX_QUEUED + 2)
  notify('a', 0)
  turn()
  const late = connection()
  group.add(late.connection)
  assert.deepEqual(late.bytes, ['a0;'])
  finish()
  assert.deepEqual(late.bytes, ['a0;'])
})

test('whatever changes whenever, everyone ends with the last of every poll, and nobody is sent the same twice', () => {
  const step = fc.oneof(
    fc.constantFrom('a', 'b', 'c').map((poll) => ({ poll })),
    fc.constant('turn' as const),
  )
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3 * MAX_QUEUED }), fc.array(step, { maxLength: 60 }), (size, steps) => {
      const { notify, members, turn, finish } = setup(size)
      const versions = new Map<string, number>()
      for (const next of steps) {
        if (next === 'turn') turn()
        else {
          const version = (versions.get(next.poll) ?? 0) + 1
          versions.set(next.poll, version)
          notify(next.poll, version)
        }
      }
      finish()
      for (const { bytes } of members) {
        const told = new Map<string, number>()
        for (const [, poll = '', version] of bytes.join('').matchAll(/([abc])(\d+);/g)) {
          assert.ok(Number(version) > (told.get(poll) ?? 0), `${poll}${version} after ${poll}${told.get(poll)}`)
          told.set(poll, Number(version))
        }
        assert.deepEqual(told.size, versions.size)
        for (const [poll, version] of versions) assert.equal(told.get(poll), version)
      }
    }),
  )
})
