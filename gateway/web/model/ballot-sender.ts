import { backoffMs, type BackoffOptions } from '../../../shared/protocol/backoff.ts'
import { apiAnswerOf, type ApiAnswer, crowdedForS } from './api-answer.ts'

/** A choice and its place among the votes of this voter: of two votes the one with the higher order stands. */
export interface Vote {
  readonly option: string
  /** From 1 on. */
  readonly order: number
}

/** What became of the last tap. */
export type BallotState =
  | { readonly kind: 'none' }
  /**
   * On its way. `isRetry` when an earlier try got no answer; `crowdedForS` when the server has said that too many votes come from this
   * address, and for how many seconds it wants no more.
   */
  | { readonly kind: 'sending'; readonly option: string; readonly isRetry: boolean; readonly crowdedForS?: number }
  /** The server has committed it. */
  | { readonly kind: 'counted'; readonly option: string }
  /** A later vote of this voter stands, or is on its way: one from another tab or another device. */
  | { readonly kind: 'overtaken' }
  /** The browser keeps no cookies, without which the server does not know the voter. The vote is kept, and not sent. */
  | { readonly kind: 'cookieless'; readonly option: string }
  /** The server will not have it. `problem` is the last part of the problem's type, `title` what it says to people. */
  | { readonly kind: 'refused'; readonly option: string; readonly problem: string; readonly title: string }

export interface BallotSenderOptions {
  /** Casts the ballot: resolves with the response, rejects when there is none. Without an order: for a server that knows none. */
  readonly put: (vote: { readonly option: string; readonly order?: number }, signal: AbortSignal) => Promise<Response>
  readonly onChange: (state: BallotState) => void
  /** The highest order that this browser has given to a vote of this voter, 0 for none; kept over reloads and shared by its tabs. */
  readonly lastOrder: { read(): number; write(order: number): void }
  /** Stores the vote that waits so that a reload keeps it; called with undefined once nothing waits. */
  readonly keep?: (vote: Vote | undefined) => void
  readonly random?: () => number
  /** How long one try may take. */
  readonly timeoutMs?: number
}

export interface BallotSender {
  /** The latest choice wins; it is sent until the server has answered for good. */
  choose(option: string): void
  /** Goes on with a vote that was kept, unless this browser has given a higher order since. */
  resume(vote: Vote): void
  /** Takes note of an order that the server has told: a later choice gets a higher one. */
  learn(order: number | undefined): void
  /** Tries again at once, if a try is due later. To be called when the network is back. */
  hurry(): void
}

const RETRY: BackoffOptions = { baseMs: 500, capMs: 8_000 }
/** How often a choice gets a higher order because another device of the voter was ahead. */
const MAX_RAISES = 3

/**
 * Sends a ballot until it is acknowledged. A choice is given its order before it is sent and keeps it over all tries, so that
 * neither a try that arrives late nor one that arrives twice replaces a later choice. One request at a time: a choice made while
 * another is under way is sent after it, so that they keep their order also where a server knows no orders.
 */
export function createBallotSender(options: BallotSenderOptions): BallotSender {
  const { put, onChange, lastOrder, keep, random = Math.random, timeoutMs = 8_000 } = options
  let wanted: Vote | undefined
  let told = 0
  let raises = 0
  let isSending = false
  let wake: (() => void) | undefined

  const learn = (order: number | undefined) => (told = Math.max(told, order ?? 0))
  const want = (vote: Vote | undefined) => {
    // kept before it is sent: after a reload the next choice has to be higher than whatever may still be under way
    if (vote && vote.order > lastOrder.read()) lastOrder.write(vote.order)
    keep?.(vote)
    wanted = vote
  }
  const wantNext = (option: string) => want({ option, order: Math.max(told, lastOrder.read(), wanted?.order ?? 0) + 1 })
  const settle = (state: BallotState) => {
    want(undefined)
    onChange(state)
  }

  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })

  /** One try: the server's judgement, or after how many seconds at the earliest the vote is to be sent again when there was none. */
  const cast = async (vote: Vote): Promise<ApiAnswer | number> => {
    let sent: Parameters<typeof put>[0] = vote
    let hasNoCookie = false
    for (let request = 0; request < 3; request++) {
      const response = await put(sent, AbortSignal.timeout(timeoutMs)).catch(() => undefined)
      const answer = response && (await apiAnswerOf(response))
      if (answer === undefined) return response === undefined ? 0 : crowdedForS(response)
      // the API repeats what it has counted
      if (answer.isOk) return 'option' in answer.content ? answer : 0
      // a server from before the orders takes no body with one
      if (answer.status === 400 && 'order' in sent) sent = { option: vote.option }
      // the refusal set the voter's cookie, so the next request has one, unless the browser keeps none
      else if (answer.status !== 401 || hasNoCookie) return answer
      hasNoCookie = answer.problem === 'no-voter'
    }
    return 0
  }

  /** Takes the server's judgement of a vote. */
  const hear = (vote: Vote, answer: ApiAnswer): void => {
    const { option } = vote
    if (!answer.isOk) learn(answer.order)
    // a later choice waits to be sent
    if (vote !== wanted) return
    if (answer.isOk) settle({ kind: 'counted', option })
    else if (answer.problem === 'no-voter') {
      wanted = undefined
      onChange({ kind: 'cookieless', option })
    } else if (answer.problem !== 'superseded') settle({ kind: 'refused', option, problem: answer.problem, title: answer.title })
    else if (isOvertaken(vote) || raises === MAX_RAISES) settle({ kind: 'overtaken' })
    else {
      raises++
      wantNext(option)
    }
  }
  /** Whether another tab of this browser has taken a later choice. */
  const isOvertaken = (vote: Vote) => lastOrder.read() > vote.order

  const run = async () => {
    isSending = true
    let tries = 0
    while (wanted !== undefined) {
      const vote = wanted
      if (isOvertaken(vote)) {
        settle({ kind: 'overtaken' })
        continue
      }
      onChange({ kind: 'sending', option: vote.option, isRetry: tries > 0 })
      const answer = await cast(vote)
      if (typeof answer === 'object') {
        tries = 0
        hear(vote, answer)
        continue
      }
      tries++
      const crowded = answer > 0 ? { crowdedForS: answer } : {}
      onChange({ kind: 'sending', option: wanted.option, isRetry: true, ...crowded })
      // not all at the same moment, where many were told to wait
      await pause(answer * 1_000 + backoffMs(tries, random, RETRY))
    }
    isSending = false
  }

  const start = (option: string) => {
    raises = 0
    if (isSending) {
      onChange({ kind: 'sending', option, isRetry: false })
      wake?.()
    } else void run()
  }
  return {
    choose(option) {
      wantNext(option)
      start(option)
    },
    resume(vote) {
      want(vote)
      start(vote.option)
    },
    learn,
    hurry: () => wake?.(),
  }
}
