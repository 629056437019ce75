import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBallotSender, type BallotState, type Vote } from './ballot-sender.ts'

type Answer = number | Error | { readonly supersededBy: number } | { readonly retryAfterS: number } | (() => Promise<number>)

/** Resolves when nothing is left to do but to wait for timers. */
const settled = () => new Promise((resolve) => setImmediate(resolve))

/** A sender whose server gives these answers in turn, the last one ever after. */
function send(...answers: Answer[]) {
  const puts: string[] = []
  const states: BallotState[] = []
  const kept: (Vote | undefined)[] = []
  const lastOrder = createOrder()
  let watcher: (() => void) | undefined
  const sender = createBallotSender({
    put: async ({ option, order }) => {
      puts.push(`${option} ${order ?? 'without'}`)
      const answer = answers.length > 1 ? answers.shift() : answers[0]
      if (answer instanceof Error) throw answer
      if (typeof answer === 'object' && 'retryAfterS' in answer) return tooMany(answer.retryAfterS)
      if (typeof answer === 'object') return superseded({ option: 'birds', order: answer.supersededBy })
      const status = typeof answer === 'function' ? await answer() : (answer ?? 200)
      const kind = status === 401 ? 'no-voter' : 'poll-closed'
      const problem = { type: `/problems/${kind}`, title: 'The poll is closed', status, detail: '' }
      return new Response(JSON.stringify(status < 300 ? { option } : problem), { status })
    },
    keep: (vote) => kept.push(vote),
    lastOrder,
    onChange: (state) => {
      states.push(state)
      watcher?.()
    },
    random: () => 0,
  })
  const reaches = (kind: BallotState['kind']) =>
    new Promise<BallotState>((resolve) => {
      watcher = () => {
        const last = states.at(-1)
        if (last?.kind === kind) resolve(last)
      }
      watcher()
    })
  return { sender, puts, states, kept, lastOrder, reaches }
}

/** The highest order that a browser has given, as all its tabs read it. */
function createOrder(): { order: number; read(): number; write(order: number): void } {
  return {
    order: 0,
    read() {
      return this.order
    },
    write(order) {
      this.order = order
    },
  }
}

function superseded(ballot: Vote): Response {
  const problem = {
    type: '/problems/superseded',
    title: 'A later vote stands',
    status: 409,
    detail: '',
    order: ballot.order,
    ballot,
  }
  return new Response(JSON.stringify(problem), { status: 409 })
}

function tooMany(retryAfterS: number): Response {
  const problem = { type: '/problems/too-many', title: 'Too much comes from your address at present', status: 429, detail: '' }
  return Response.json(problem, { status: 429, headers: { 'retry-after': String(retryAfterS) } })
}

test('a tap is sent, acknowledged, and no longer kept', async () => {
  const { sender, puts, states, kept, reaches } = send(200)
  sender.choose('cats')
  await reaches('counted')
  assert.deepEqual(puts, ['cats 1'])
  assert.deepEqual(states, [
    { kind: 'sending', option: 'cats', isRetry: false },
    { kind: 'counted', option: 'cats' },
  ])
  assert.deepEqual(kept, [{ option: 'cats', order: 1 }, undefined])
})

test('without a network, and while servers fail or are busy, it is repeated until it is counted', async () => {
  const { sender, puts, states, reaches } = send(new TypeError('offline'), 503, 429, 500, 200)
  sender.choose('cats')
  await reaches('counted')
  assert.equal(puts.length, 5)
  assert.ok(states.some((state) => state.kind === 'sending' && state.isRetry))
})

test('while too many votes come from its address, a vote is kept, says so, and is sent again when the server said', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { sender, puts, states, kept } = send({ retryAfterS: 7 }, { retryAfterS: 86_400 }, 200)
  sender.choose('cats')
  await settled()
  assert.deepEqual(states.at(-1), { kind: 'sending', option: 'cats', isRetry: true, crowdedForS: 7 })
  assert.deepEqual(kept, [{ option: 'cats', order: 1 }])
  t.mock.timers.tick(6_999)
  await settled()
  assert.equal(puts.length, 1)
  t.mock.timers.tick(1)
  await settled()
  assert.equal(puts.length, 2)
  assert.deepEqual(states.at(-1), { kind: 'sending', option: 'cats', isRetry: true, crowdedForS: 60 }, 'a minute at most')
  t.mock.timers.tick(60_000)
  await settled()
  assert.deepEqual(states.at(-1), { kind: 'counted', option: 'cats' })
  assert.deepEqual(puts, ['cats 1', 'cats 1', 'cats 1'])
})

test('a tap while the address is crowded replaces the one that is kept, and asks at once', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { sender, puts, states, kept } = send({ retryAfterS: 7 }, 200)
  sender.choose('cats')
  await settled()
  sender.choose('dogs')
  await settled()
  assert.deepEqual(puts, ['cats 1', 'dogs 2'])
  assert.deepEqual(states.at(-1), { kind: 'counted', option: 'dogs' })
  assert.equal(kept.at(-1), undefined)
})

test('the first vote of a browser is refused with a cookie and repeated at once', async () => {
  const { sender, puts, states, reaches } = send(401, 200)
  sender.choose('cats')
  await reaches('counted')
  assert.equal(puts.length, 2)
  assert.ok(!states.some((state) => state.kind === 'sending' && state.isRetry))
})

test('what the poll does not take is refused with the reason and not repeated', async () => {
  const { sender, puts, kept, reaches } = send(409)
  sender.choose('cats')
  const state = await reaches('refused')
  assert.deepEqual(state, { kind: 'refused', option: 'cats', problem: 'poll-closed', title: 'The poll is closed' })
  assert.equal(puts.length, 1)
  assert.equal(kept.at(-1), undefined)
})

test('a change of mind on the way is sent after the first, never beside it, and only the last is called counted', async () => {
  const first = Promise.withResolvers<number>()
  let atOnce = 0
  let most = 0
  const slow = async () => {
    most = Math.max(most, ++atOnce)
    const status = await first.promise
    atOnce--
    return status
  }
  const { sender, puts, states, reaches } = send(slow)
  sender.choose('cats')
  sender.choose('dogs')
  sender.choose('birds')
  assert.deepEqual(puts, ['cats 1'])
  first.resolve(200)
  assert.deepEqual(await reaches('counted'), { kind: 'counted', option: 'birds' })
  assert.deepEqual(puts, ['cats 1', 'birds 3'])
  assert.equal(most, 1)
  assert.ok(!states.some((state) => state.kind === 'counted' && state.option === 'cats'))
})

test('a browser that keeps no cookies is told so after the second refusal, and the vote is kept for when it does', async () => {
  const { sender, puts, kept, reaches } = send(401, 401, 401, 200)
  sender.choose('cats')
  assert.deepEqual(await reaches('cookieless'), { kind: 'cookieless', option: 'cats' })
  assert.deepEqual(puts, ['cats 1', 'cats 1'])
  assert.deepEqual(kept.at(-1), { option: 'cats', order: 1 })
  sender.choose('cats')
  assert.deepEqual(await reaches('counted'), { kind: 'counted', option: 'cats' })
  assert.equal(kept.at(-1), undefined)
})

test('an answer that is not of the API says nothing about the vote, which is sent again as it was', async () => {
  const json = { 'content-type': 'application/json' }
  const answers = [
    new Response('<html>Bad Gateway</html>', { status: 502 }),
    new Response(null, { status: 503 }),
    new Response('404 page not found', { status: 404 }),
    new Response('<html>Who are you?</html>', { status: 401 }),
    new Response('<html>Bad Request</html>', { status: 400 }),
    new Response('{"message":"Forbidden"}', { status: 403, headers: json }),
    new Response('{"type":"about:blank","title":"Forbidden"}', { status: 403, headers: json }),
    new Response('<html>Sign in</html>', { status: 200 }),
    new Response('', { status: 200, headers: json }),
    new Response('{"option":', { status: 200, headers: json }),
    new Response('{"location":"/login"}', { status: 200, headers: json }),
    new Response(null, { status: 204 }),
    Response.error(),
    new Response('{"option":"cats"}', { headers: json }),
  ]
  const puts: (number | undefined)[] = []
  const counted = Promise.withResolvers<void>()
  const sender = createBallotSender({
    lastOrder: createOrder(),
    put: async ({ order }) => {
      puts.push(order)
      return answers[puts.length - 1] ?? Response.error()
    },
    onChange: ({ kind, ...rest }) => {
      if (kind === 'counted') counted.resolve()
      // no need to wait for the next try
      if (kind === 'sending' && 'isRetry' in rest && rest.isRetry) setImmediate(() => sender.hurry())
      assert.ok(kind === 'sending' || kind === 'counted', kind)
    },
  })
  sender.choose('cats')
  await counted.promise
  assert.deepEqual(
    puts,
    answers.map(() => 1),
  )
})

test('a choice keeps its order over all tries, and the order is kept before the first', async () => {
  const { sender, puts, lastOrder, reaches } = send(new TypeError('offline'), 503, 200)
  sender.learn(40)
  sender.choose('cats')
  assert.equal(lastOrder.read(), 41)
  await reaches('counted')
  assert.deepEqual(puts, ['cats 41', 'cats 41', 'cats 41'])
})

test('a choice that another device of the voter was ahead of is sent again above it', async () => {
  const { sender, puts, lastOrder, reaches } = send({ supersededBy: 7 }, 200)
  sender.choose('cats')
  assert.deepEqual(await reaches('counted'), { kind: 'counted', option: 'cats' })
  assert.deepEqual(puts, ['cats 1', 'cats 8'])
  assert.equal(lastOrder.read(), 8)
})

test('two devices that outbid each other come to rest', async () => {
  const { sender, puts, kept, reaches } = send(
    { supersededBy: 7 },
    { supersededBy: 9 },
    { supersededBy: 11 },
    { supersededBy: 13 },
  )
  sender.choose('cats')
  assert.deepEqual(await reaches('overtaken'), { kind: 'overtaken' })
  assert.deepEqual(puts, ['cats 1', 'cats 8', 'cats 10', 'cats 12'])
  assert.equal(kept.at(-1), undefined)
})

test('a choice that a later one of another tab overtook is not sent again', async () => {
  const answer = Promise.withResolvers<number>()
  const { sender, puts, lastOrder, reaches } = send(() => answer.promise)
  sender.choose('cats')
  lastOrder.write(2)
  answer.resolve(503)
  await reaches('overtaken')
  assert.deepEqual(puts, ['cats 1'])
})

test('after a reload a vote goes on with its order, unless a later one was chosen in another tab', async () => {
  const { sender, puts, reaches } = send(200)
  sender.resume({ option: 'cats', order: 3 })
  await reaches('counted')
  assert.deepEqual(puts, ['cats 3'])
  const late = send(200)
  late.lastOrder.write(4)
  late.sender.resume({ option: 'cats', order: 3 })
  await late.reaches('overtaken')
  assert.deepEqual(late.puts, [])
})

test('a server from before the orders gets votes without one', async () => {
  const { sender, puts, reaches } = send(400, 401, 200)
  sender.choose('cats')
  await reaches('counted')
  assert.deepEqual(puts, ['cats 1', 'cats without', 'cats without'])
})
