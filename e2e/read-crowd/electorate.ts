/** Votes cast at a rhythm, and screens that are to show them: how long each vote waits for its answer, and how late screens are. */
import { once } from 'node:events'
import { Agent, request, type IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { createVoterCookie } from '../../backend/http/voter-cookie.ts'
import { COOKIE_SECRET } from '../support/cluster.ts'
import { watch } from '../support/watcher.ts'

export interface Observed {
  readonly votes: number
  /** Statuses of the votes other than 200. */
  readonly refused: readonly number[]
  /** How long a vote waited for its answer, in ms. */
  readonly voteMs: { readonly p50: number; readonly p99: number; readonly max: number }
  /** For how long, at most, a screen did not show a vote that was acknowledged, in ms. */
  readonly oldestTallyMs: number
}

const EVERY_MS = 25
/** The voters' connections to each gateway. */
const CONNECTIONS = 50

/** Has one new voter after the other vote, through the gateways in turn, while `work` runs, and watches at every gateway. */
export async function voteDuring(urls: readonly string[], poll: string, work: () => Promise<unknown>): Promise<Observed> {
  const settings = { secret: COOKIE_SECRET, now: Date.now, date: Date.now }
  const agent = new Agent({ keepAlive: true })
  const voters = createVoterCookie(settings)
  const acknowledgedAt: number[] = []
  const waited: number[] = []
  const refused: number[] = []
  let oldestTallyMs = 0

  const cast = async (url: string) => {
    const startedAt = performance.now()
    const asked = request(`${url}/api/polls/${poll}/vote`, {
      method: 'PUT',
      agent,
      headers: { 'content-type': 'application/json', cookie: voters.issue(false).split(';', 1)[0] ?? '' },
    })
    asked.end('{"option":"cats"}')
    const [answer] = (await once(asked, 'response')) as [IncomingMessage]
    const now = performance.now()
    if (answer.statusCode === 200) acknowledgedAt.push(now)
    else refused.push(answer.statusCode ?? 0)
    waited.push(now - startedAt)
    answer.resume()
  }

  /** Opens the connections on which the votes go: voters have the page open already. */
  const open = async (url: string) => {
    const asked = request(`${url}/live`, { agent }).end()
    const [answer] = (await once(asked, 'response')) as [IncomingMessage]
    await answer.resume().toArray()
  }

  await Promise.all(urls.flatMap((url) => Array.from({ length: CONNECTIONS }, () => open(url))))
  const screens = await Promise.all(urls.map((url) => watch(url, [poll])))
  for (const screen of screens) {
    let shown = 0
    // every acknowledged vote up to the total is on this screen from now on
    screen.socket.on('message', () => {
      const total = screen.tallies.at(-1)?.total ?? 0
      const now = performance.now()
      for (; shown < Math.min(total, acknowledgedAt.length); shown += 1)
        oldestTallyMs = Math.max(oldestTallyMs, now - (acknowledgedAt[shown] ?? now))
      shown = Math.max(shown, total)
    })
  }

  const casting: Promise<void>[] = []
  const over = new AbortController()
  const voting = (async () => {
    while (!over.signal.aborted) {
      casting.push(cast(urls[casting.length % urls.length] ?? ''))
      await delay(EVERY_MS)
    }
  })()
  await work()
  over.abort()
  await voting
  await Promise.all(casting)
  await Promise.all(
    screens.map((screen) => screen.until((frame) => frame.type === 'tally' && frame.total >= acknowledgedAt.length)),
  )
  for (const screen of screens) screen.close()
  agent.destroy()
  waited.sort((a, b) => a - b)
  const quantile = (q: number) => Math.round(waited[Math.min(waited.length - 1, Math.floor(q * waited.length))] ?? 0)
  return {
    votes: waited.length,
    refused,
    voteMs: { p50: quantile(0.5), p99: quantile(0.99), max: quantile(1) },
    oldestTallyMs: Math.round(oldestTallyMs),
  }
}
