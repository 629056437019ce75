import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import * as fc from 'fast-check'
import { createBallotSender, type BallotSender, type BallotState, type Vote } from './ballot-sender.ts'

type Sent = Parameters<Parameters<typeof createBallotSender>[0]['put']>[0]

/** A request on its way. It reaches the server at most once, before or after its sender has given up; or never. */
interface Request {
  readonly vote: Sent
  readonly answered: PromiseWithResolvers<Response>
  /** The server's answer, once the request has reached it. */
  response?: Response
  isOver: boolean
}

/** One voter's ballot on the server, by the rule of the API: a vote replaces a ballot of a lower order, or of its own option. */
class Server {
  ballot: Vote | undefined

  take({ option, order = 0 }: Sent): Response {
    const { ballot } = this
    if (ballot === undefined || order > ballot.order) this.ballot = { option, order }
    else if (option !== ballot.option) {
      const problem = { type: '/problems/superseded', title: '', status: 409, detail: '', order: ballot.order, ballot }
      return new Response(JSON.stringify(problem), { status: 409 })
    }
    return new Response(JSON.stringify({ option }))
  }
}

/** A browser: tabs that share what it stores, and a network whose requests move only when they are told to. */
class Browser {
  readonly server = new Server()
  readonly requests: Request[] = []
  readonly tabs: { sender: BallotSender; state: BallotState; waiting: Vote | undefined }[] = []
  order = 0
  chosen: string | undefined

  constructor(tabs: number) {
    for (let index = 0; index < tabs; index++) this.open(index)
  }

  /** Opens a tab, or loads it again: the script of the page before no longer hears its answers. */
  open(index: number): void {
    const waiting = this.tabs[index]?.waiting
    const isCurrent = () => this.tabs[index] === tab
    const sender = createBallotSender({
      put: (vote) => {
        const request: Request = { vote, answered: Promise.withResolvers(), isOver: false }
        if (isCurrent()) this.requests.push(request)
        return request.answered.promise
      },
      lastOrder: { read: () => this.order, write: (order) => isCurrent() && (this.order = order) },
      keep: (vote) => isCurrent() && (tab.waiting = vote),
      onChange: (state) => (tab.state = state),
      random: () => 0,
    })
    const tab = { sender, state: { kind: 'none' } as BallotState, waiting }
    this.tabs[index] = tab
    sender.learn(this.server.ballot?.order)
    if (waiting) sender.resume(waiting)
  }

  choose(index: number, option: string): void {
    this.chosen = option
    this.tabs[index]?.sender.choose(option)
  }

  /** Brings a request to the server, however long ago its sender gave up. */
  deliver(request: Request | undefined): void {
    if (request && !request.response) request.response = this.server.take(request.vote)
  }

  /** Brings the answer back, where the server has given one and it is not lost; else the sender gives up. */
  end(request: Request | undefined, isLost: boolean): void {
    if (!request || request.isOver) return
    request.isOver = true
    if (isLost || !request.response) request.answered.reject(new Error('no answer'))
    else request.answered.resolve(request.response)
  }

  /** Carries out a step, among them what the network does to the newest request that is not over. */
  async take(step: Step): Promise<void> {
    const open = this.requests.findLast(({ isOver }) => !isOver)
    if (step.kind === 'choose') this.choose(step.tab % this.tabs.length, step.option)
    else if (step.kind === 'reload') this.open(step.tab % this.tabs.length)
    else if (step.kind === 'late') this.deliver(this.requests.filter(({ isOver, response }) => isOver && !response)[step.index])
    else {
      if (step.kind !== 'lose') this.deliver(open)
      this.end(open, step.kind !== 'answer')
    }
    await this.settle()
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 3; turn++) await setImmediate()
    for (const { sender } of this.tabs) sender.hurry()
    for (let turn = 0; turn < 3; turn++) await setImmediate()
  }
}

type Step =
  | { readonly kind: 'choose'; readonly tab: number; readonly option: string }
  | { readonly kind: 'reload'; readonly tab: number }
  /** A request arrives, and its answer does; only the request does; neither does. */
  | { readonly kind: 'answer' | 'lose answer' | 'lose' }
  /** A request arrives of which the sender has given up. */
  | { readonly kind: 'late'; readonly index: number }

const tab = fc.nat(1)
const steps = fc.array(
  fc.oneof<fc.Arbitrary<Step>[]>(
    fc.record({ kind: fc.constant('choose'), tab, option: fc.constantFrom('a', 'b', 'c') }),
    fc.record({ kind: fc.constantFrom('answer', 'lose answer', 'lose') }),
    fc.record({ kind: fc.constant('late'), index: fc.nat(3) }),
    fc.record({ kind: fc.constant('reload'), tab }),
  ),
  { maxLength: 30 },
)

/** Lets the network work again, then has requests of long ago arrive, in the order that `places` gives them. */
async function comeToRest(browser: Browser, places: readonly number[]): Promise<void> {
  await browser.settle()
  while (browser.requests.some(({ isOver }) => !isOver)) await browser.take({ kind: 'answer' })
  for (const index of places) await browser.take({ kind: 'late', index })
}

for (const tabs of [1, 2]) {
  test(`whatever is lost, late or reordered, the last choice stands in the end, and nothing waits (tabs: ${tabs})`, async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.array(fc.nat(3), { maxLength: 8 }), async (taken, places) => {
        const browser = new Browser(tabs)
        for (const step of taken) await browser.take(step)
        await comeToRest(browser, places)
        assert.equal(browser.server.ballot?.option, browser.chosen)
        for (const { state, waiting } of browser.tabs) {
          assert.notEqual(state.kind, 'sending')
          assert.equal(waiting, undefined)
        }
      }),
      { numRuns: 500 },
    )
  })
}

test('what a page calls counted stands, whatever arrives late, until somebody chooses again', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (taken) => {
      const browser = new Browser(1)
      for (const step of taken) {
        await browser.take(step)
        const state = browser.tabs[0]?.state
        if (state?.kind !== 'counted') continue
        for (const lost of browser.requests.filter(({ response }) => !response)) browser.deliver(lost)
        assert.equal(browser.server.ballot?.option, state.option)
      }
    }),
    { numRuns: 500 },
  )
})
