import assert from 'node:assert/strict'
import { afterEach, beforeEach, mock, test } from 'node:test'
import * as fc from 'fast-check'
import type { Frame, TallyFrame } from '../../../shared/protocol/frames.ts'
import { isNewer } from '../../../shared/protocol/order.ts'
import { createTallyClient } from './tally-client.ts'

/** A WebSocket whose server is the test. */
class FakeSocket extends EventTarget {
  static all: FakeSocket[] = []
  readonly polls: readonly string[]
  readyState = 0

  constructor(url: URL) {
    super()
    this.polls = url.searchParams.getAll('poll')
    FakeSocket.all.push(this)
  }
  close(code?: number): void {
    assert.equal(code, 1000)
    this.readyState = 2
  }
  accept(): void {
    if (this.readyState !== 0) return
    this.readyState = 1
    this.dispatchEvent(new Event('open'))
  }
  send(frame: Frame): void {
    // frames on their way still arrive after close(), as they do in a browser
    if (this.readyState === 1 || this.readyState === 2) {
      this.dispatchEvent(Object.assign(new Event('message'), { data: JSON.stringify(frame) }))
    }
  }
  end(code: number): void {
    if (this.readyState === 3) return
    this.readyState = 3
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason: 'ended by the test' }))
  }
  tell(version: number, epoch: number): void {
    for (const poll of this.polls) {
      const at = new Date().toISOString()
      const timing = { state: 'open', resultsVisible: true, opensAt: null, closesAt: null } as const
      this.send({ type: 'poll', poll, question: `${poll}?`, options: [{ id: 'yes', label: 'Yes' }], ...timing })
      this.send({ type: 'tally', poll, epoch, version, counts: { yes: version }, total: version, at })
    }
  }
}

const which = fc.nat(3)
const action = fc.oneof(
  { arbitrary: fc.record({ do: fc.constant('tick'), ms: fc.oneof(fc.nat(500), fc.nat(40_000)) }), weight: 3 },
  { arbitrary: fc.record({ do: fc.constant('accept'), which }), weight: 3 },
  { arbitrary: fc.record({ do: fc.constant('tell'), which, version: fc.nat(9), epoch: fc.nat(2) }), weight: 6 },
  fc.record({ do: fc.constant('drain'), which, ms: fc.nat(20_000) }),
  fc.record({ do: fc.constant('alive'), which }),
  fc.record({ do: fc.constant('gone'), which, gone: fc.constantFrom('a', 'b', 'c') }),
  fc.record({ do: fc.constant('end'), which, code: fc.constantFrom(1000, 1001, 1006, 1008, 1012, 1013) }),
  fc.record({ do: fc.constant('wake'), online: fc.boolean() }),
  fc.record({ do: fc.constant('subscribe'), poll: fc.constantFrom('a', 'b', 'c', 'constructor') }),
  fc.record({ do: fc.constant('unsubscribe') }),
)
type Action = typeof action extends fc.Arbitrary<infer Value> ? Value : never

const page = globalThis as { window?: EventTarget | undefined; document?: EventTarget | undefined }
const pending = new Set<unknown>()

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 })
  const { setTimeout: set, clearTimeout: clear } = globalThis
  globalThis.setTimeout = ((run: () => void, ms: number) => {
    const timer = set(() => {
      pending.delete(timer)
      run()
    }, ms)
    pending.add(timer)
    return timer
  }) as typeof setTimeout
  globalThis.clearTimeout = (timer) => {
    pending.delete(timer)
    clear(timer)
  }
  page.window = new EventTarget()
  page.document = new EventTarget()
})
afterEach(() => {
  mock.timers.reset()
  page.window = page.document = undefined
})

let last: { close(): void } | undefined

/** A client in a world where everything may happen, its promises checked after every step. */
function observe() {
  last?.close() // of a run that failed
  FakeSocket.all = []
  pending.clear()
  const client = createTallyClient({ url: 'ws://test/ws', WebSocket: FakeSocket as never, random: () => 0.5 })
  last = client
  const newest = new Map<string, TallyFrame>()
  const stops: (() => void)[] = []
  let isOver = false
  // what a listener throws would be reported elsewhere, so faults are kept for the next check
  const faults: string[] = []
  client.addEventListener('tally', ({ detail }) => {
    const before = newest.get(detail.poll)
    if (isOver) faults.push('a tally after close')
    if (!isNewer(detail, before)) faults.push(`${detail.epoch}.${detail.version} after ${before?.epoch}.${before?.version}`)
    newest.set(detail.poll, detail)
  })
  client.addEventListener('status', () => isOver && faults.push('a status after close'))
  const subscribe = (poll: string) => {
    let isGone = false
    const stop = client.subscribe(
      poll,
      (tally) => {
        if (isGone) faults.push('a tally after gone')
        if (tally.version !== newest.get(poll)?.version) faults.push('a subscriber heard another tally')
      },
      {
        onGone(gone) {
          if (isGone || gone.poll !== poll) faults.push('gone twice, or another')
          isGone = true
        },
      },
    )
    stops.push(stop)
  }
  const perform = (step: Action) => {
    const open = FakeSocket.all.filter(({ readyState }) => readyState < 3)
    const socket = 'which' in step ? open[step.which % (open.length || 1)] : undefined
    if (step.do === 'tick' && 'ms' in step) mock.timers.tick(step.ms)
    else if (step.do === 'accept') socket?.accept()
    else if ('version' in step) socket?.tell(step.version, step.epoch)
    else if ('ms' in step) socket?.send({ type: 'drain', closeAfterMs: step.ms })
    else if ('code' in step) socket?.end(step.code)
    else if ('gone' in step) socket?.send({ type: 'gone', poll: step.gone, code: 4404, reason: 'gone' })
    else if (step.do === 'alive') socket?.send({ type: 'alive', at: new Date().toISOString() })
    else if ('online' in step)
      (step.online ? page.window : page.document)?.dispatchEvent(new Event(step.online ? 'online' : 'visibilitychange'))
    else if ('poll' in step) subscribe(step.poll)
    else stops.pop()?.()
  }
  const open = () => FakeSocket.all.filter(({ readyState }) => readyState < 2)
  const settle = async () => {
    await Promise.resolve()
    assert.deepEqual(faults, [])
    assert.ok(open().length <= 2, `${open().length} sockets`)
    if (client.status.state === 'live') assert.equal(open().length, 1)
  }
  const close = () => {
    client.close()
    isOver = true
    last = undefined
  }
  return { client, subscribe, perform, settle, open, close }
}

test('whatever the servers do: never backwards, at most two sockets, live again once they are well, nothing left after close', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (steps) => {
      const { client, subscribe, perform, settle, open, close } = observe()
      subscribe('a')
      await settle()
      for (const step of steps) {
        perform(step)
        await settle()
      }
      // From here on the servers are well. The longest wait is the longest backoff, and before it a dead feed's silence.
      for (let second = 0; second < 90; second++) {
        for (const socket of open()) {
          socket.accept()
          socket.tell(100 + second, 3)
        }
        mock.timers.tick(1_000)
        await settle()
      }
      assert.equal(client.status.state, 'live')
      close()
      assert.equal(client.status.state, 'closed')
      assert.equal(open().length, 0)
      assert.equal(pending.size, 0, 'timers left')
      for (const step of steps) {
        perform(step)
        await settle()
      }
      for (const socket of FakeSocket.all) socket.tell(999, 9)
      assert.equal(open().length, 0)
      assert.equal(pending.size, 0, 'timers set after close')
    }),
    { numRuns: 300 },
  )
})

test('a refusal for good ends it from any state and is told', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 20 }), fc.integer({ min: 4400, max: 4499 }), async (steps, code) => {
      const { client, subscribe, perform, settle, open } = observe()
      subscribe('a')
      await settle()
      for (const step of steps) {
        perform(step)
        await settle()
      }
      // while moving the feed may end without ending the client: the next socket has the last word
      for (let refusals = 0; client.status.state !== 'closed'; refusals++) {
        assert.ok(refusals < 2)
        while (open().length === 0) mock.timers.tick(1_000)
        open().at(-1)!.end(code)
      }
      assert.equal(client.status.code, code)
      assert.equal(client.status.reason, 'ended by the test')
      assert.equal(pending.size, 0)
      assert.equal(open().length, 0)
    }),
    { numRuns: 100 },
  )
})
