/** Two backends and two gateways over a Redis that a test harms, while people vote and screens watch. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { isNewer } from '../../shared/protocol/order.ts'
import { createVoter, startCluster, type Cluster } from './cluster.ts'
import { createTestDatabase } from './test-database.ts'
import { watch, type Watcher } from './watcher.ts'

/** What people saw while they voted. */
export interface Seen {
  /** Votes that were acknowledged, and those that were not. */
  readonly acknowledged: number
  readonly refused: number
  /** The longest time in which no vote was acknowledged, in ms. */
  readonly pauseMs: number
  /** The longest time that any screen took to show a vote after it was acknowledged, in ms. */
  readonly behindMs: number
  /** The longest time, in ms, of which a screen was told that its source was silent; 0 if it never was. */
  readonly silentMs: number
}

export interface RedisScene {
  readonly cluster: Cluster
  /** Casts votes, one after the other, through both gateways, until `end`, which resolves once every screen shows all of them. */
  vote(): { end(): Promise<Seen> }
  /** Resolves once both gateways and both backends say that the bus is as it should be, to the time it took, in ms. */
  untilBusWorks(): Promise<number>
  [Symbol.asyncDispose](): Promise<void>
}

export const POLL = 'cats-or-dogs'
/** Between two votes, in ms. */
const VOTE_GAP_MS = 25
/** So many votes there are at least, however slow the machine. */
const VOTES_AT_LEAST = 20
/** How long screens may take to show everything at the end, in ms. */
const SHOWN_MS = 20_000

export async function startRedisScene(redisUrl: string, env: Readonly<Record<string, string>> = {}): Promise<RedisScene> {
  const database = await createTestDatabase()
  const cluster = await startCluster({ backends: 2, gateways: 2, servers: { databaseUrl: database.url, redisUrl }, env })
  const stop = async () => {
    await cluster[Symbol.asyncDispose]()
    await database.drop()
  }
  try {
    const options = [
      { id: 'cats', label: 'Cats' },
      { id: 'dogs', label: 'Dogs' },
    ]
    const created = await cluster.admin('POST', '/api/polls', { poll: POLL, question: 'Cats or dogs?', options })
    assert.equal(created.status, 201)
    const screens = await Promise.all(cluster.gateways.map(async ({ url }) => watchTimes(await watch(url, [POLL]))))
    let total = 0
    return {
      cluster,
      vote() {
        const from = screens.map(({ frames }) => frames.length)
        const times: { readonly at: number; readonly total: number }[] = []
        let refused = 0
        let isVoting = true
        const startedAt = performance.now()
        const voting = (async () => {
          while (isVoting || times.length < VOTES_AT_LEAST) {
            const { url } = cluster.gateways[total % 2] ?? { url: '' }
            const voter = await createVoter(url, POLL)
            const answer = await voter.vote(url, total % 3 === 0 ? 'cats' : 'dogs')
            await answer.body?.cancel()
            if (answer.ok) times.push({ at: performance.now(), total: (total += 1) })
            else refused += 1
            await delay(VOTE_GAP_MS)
          }
        })()
        // a test that fails ends the services while a vote is under way
        voting.catch(() => {})
        return {
          async end() {
            isVoting = false
            await voting
            const endedAt = performance.now()
            while (screens.some((screen) => (screen.shown.at(-1)?.total ?? 0) < total)) {
              const late = performance.now() - endedAt
              assert.ok(
                late < SHOWN_MS,
                `screens show ${screens.map(({ shown }) => shown.at(-1)?.total).join(' and ')} of ${total}`,
              )
              await delay(10)
            }
            let [pauseMs, behindMs, silentMs, before] = [0, 0, 0, startedAt]
            for (const { at } of [...times, { at: endedAt }]) {
              pauseMs = Math.max(pauseMs, at - before)
              before = at
            }
            for (const { shown } of screens) {
              let index = 0
              for (const vote of times) {
                while ((shown[index]?.total ?? Infinity) < vote.total) index += 1
                behindMs = Math.max(behindMs, (shown[index]?.at ?? Infinity) - vote.at)
              }
            }
            for (const [index, { frames }] of screens.entries()) {
              for (const frame of frames.slice(from[index])) {
                if (frame.type === 'alive') silentMs = Math.max(silentMs, frame.silentMs ?? 0)
              }
            }
            return { acknowledged: times.length, refused, pauseMs, behindMs, silentMs }
          },
        }
      },
      async untilBusWorks() {
        const startedAt = performance.now()
        for (const { url } of [...cluster.gateways, ...cluster.backends]) {
          while (!(await busWorks(url))) {
            assert.ok(performance.now() - startedAt < 30_000, `the bus of ${url} does not work`)
            await delay(20)
          }
        }
        return performance.now() - startedAt
      },
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Notes when the screen was told which total, and that it was never told an older tally after a newer one. */
function watchTimes(watcher: Watcher) {
  const shown: { readonly at: number; readonly total: number }[] = []
  watcher.socket.on('message', () => {
    const frame = watcher.frames.at(-1)
    if (frame?.type !== 'tally') return
    const before = watcher.tallies.at(-2)
    assert.ok(isNewer(frame, before), `${JSON.stringify(frame)} came after ${JSON.stringify(before)}`)
    shown.push({ at: performance.now(), total: frame.total })
  })
  const first = watcher.tallies.at(-1)
  if (first !== undefined) shown.push({ at: performance.now(), total: first.total })
  return { shown, frames: watcher.frames }
}

async function busWorks(url: string): Promise<boolean> {
  const response = await fetch(`${url}/ready`)
  const { checks } = (await response.json()) as { checks: Record<string, { ok: boolean }> }
  return [checks['bus'], checks['publishing'] ?? { ok: true }].every((check) => check?.ok === true)
}
