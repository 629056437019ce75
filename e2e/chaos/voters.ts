/** Some hundred voters who vote, wait or lose patience, and change their minds. */
import { setTimeout as delay } from 'node:timers/promises'
import { Agent, fetch } from 'undici'
import type { Journal } from './journal.ts'
import type { Pace } from './pace.ts'
import { createRandom } from './random.ts'
import { newVoter } from './requests.ts'
import type { Vote, VoteLedger } from './vote-ledger.ts'

export interface VotersOptions {
  readonly url: string
  readonly seed: number
  readonly voters: number
  /** Votes a second. */
  readonly rate: number
  readonly polls: readonly string[]
  readonly options: readonly string[]
  readonly pace: Pace
  readonly ledger: VoteLedger
  readonly journal: Journal
}

/** One answered vote, for the figures. */
export interface Answer {
  readonly sentAt: number
  readonly tookMs: number
  /** 0 for none. */
  readonly status: number
  /** Whether the voter would have waited for as long as any server takes. */
  readonly isPatient: boolean
}

export interface Voters {
  readonly answers: readonly Answer[]
  /** Whether half of the voters say the order of their votes. */
  readonly areOrdered: boolean
  /** Stops voting; resolves once every vote is answered or given up. */
  stop(): Promise<void>
}

/** Most voters wait longer than any server does; one of five gives up early, and votes again. On a slow machine that is later. */
const PATIENCE_MS = 15_000
const LITTLE_PATIENCE_MS = 1_500
/** Between giving up and voting anew. */
const REACTION_MS = 300

interface Voter {
  readonly id: string
  readonly cookie: string
  readonly isOrdered: boolean
  isWaiting: boolean
  order: number
}

export async function startVoters(options: VotersOptions): Promise<Voters> {
  const { url, seed, rate, polls, ledger, journal } = options
  const random = createRandom(seed + 1)
  const areOrdered = await knowsOrder(url, polls[0] ?? '', options.options[0] ?? '')
  const voters: Voter[] = []
  for (let number = 0; number < options.voters; number += 1) {
    voters.push({ ...(await newVoter()), isOrdered: areOrdered && number % 2 === 0, isWaiting: false, order: 0 })
  }
  const answers: Answer[] = []
  const under = new Set<Promise<void>>()
  let isOver = false

  /** Resolves to whether there was an answer. */
  const cast = async (voter: Voter, poll: string, option: string, patienceMs: number) => {
    voter.order += 1
    const vote: Vote = { option, ordered: voter.isOrdered, sentAt: Date.now() }
    ledger.sent(poll, voter.id, vote)
    const body = JSON.stringify(voter.isOrdered ? { option, order: voter.order } : { option })
    const { status, problem } = await put(`${url}/api/polls/${poll}/vote`, voter.cookie, body, patienceMs)
    vote.answeredAt = Date.now()
    vote.status = status
    answers.push({ sentAt: vote.sentAt, tookMs: vote.answeredAt - vote.sentAt, status, isPatient: patienceMs >= PATIENCE_MS })
    journal.write({ vote: poll, voter: voter.id, order: voter.order, ...vote, ...(problem === '' ? {} : { problem }) })
    // a voter's votes come one after the other, each with the next order
    if (problem.includes('superseded'))
      journal.violate('a later vote was refused as an older one', `${voter.id} in ${poll}: ${problem}`)
    return status !== 0
  }

  /** Who gets no answer votes anew, and for something else. */
  const castUntilAnswered = async (voter: Voter, poll: string, first: string, patienceMs: number) => {
    voter.isWaiting = true
    for (let option = first, isAnswered = false; !isAnswered && !isOver; option = random.pick(options.options)) {
      isAnswered = await cast(voter, poll, option, patienceMs)
      if (!isAnswered) await delay(REACTION_MS)
    }
    voter.isWaiting = false
  }

  const run = async () => {
    while (!isOver) {
      await delay(random.next() * (2_000 / rate))
      const voter = random.pick(voters)
      const [poll, option] = [random.pick(polls), random.pick(options.options)]
      const patienceMs = random.next() < 0.2 ? LITTLE_PATIENCE_MS * options.pace.slowness : PATIENCE_MS
      if (voter.isWaiting) continue
      const voting = castUntilAnswered(voter, poll, option, patienceMs)
      under.add(voting)
      void voting.finally(() => under.delete(voting))
    }
  }
  const running = run()
  return {
    answers,
    areOrdered,
    async stop() {
      isOver = true
      await running
      await Promise.all(under)
    },
  }
}

/** Whether a vote may say its order. */
async function knowsOrder(url: string, poll: string, option: string): Promise<boolean> {
  const { cookie } = await newVoter()
  const { status } = await put(`${url}/api/polls/${poll}-none/vote`, cookie, JSON.stringify({ option, order: 1 }), PATIENCE_MS)
  return status === 404
}

/** A connection for each vote, since every voter has one of their own: together they reach all gateways. */
const dispatcher = new Agent({ pipelining: 0 })

interface Put {
  /** 0 where there is no answer in time, or the connection was lost twice. */
  readonly status: number
  /** The body of a refusal, or what went wrong. */
  readonly problem: string
}

/** Once more where the connection is lost before an answer, as browsers do. */
async function put(url: string, cookie: string, body: string, patienceMs: number): Promise<Put> {
  const headers = { 'content-type': 'application/json', cookie }
  const signal = AbortSignal.timeout(Math.round(patienceMs))
  for (let isLast = false; ; isLast = true) {
    try {
      const response = await fetch(url, { method: 'PUT', headers, body, signal, dispatcher })
      const text = await response.text()
      return { status: response.status, problem: response.status === 200 ? '' : text }
    } catch (error) {
      const { cause } = error as Error
      if (isLast || signal.aborted) return { status: 0, problem: String(cause ?? error) }
    }
  }
}
