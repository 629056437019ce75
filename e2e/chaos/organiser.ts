/** Somebody who runs the polls: opens, closes, edits, resets, removes and creates them, whatever happens meanwhile. */
import { setTimeout as delay } from 'node:timers/promises'
import { ADMIN_TOKEN } from '../support/cluster.ts'
import type { Journal } from './journal.ts'
import { createRandom } from './random.ts'

/** Always there and open; edited and reset. */
export const LASTING_POLLS = ['tea-or-coffee', 'cats-or-dogs'] as const
/** Closed and opened again; edited and reset. */
export const CLOSING_POLLS = ['window-or-aisle'] as const
/** Removed and created anew. */
export const PASSING_POLLS = ['sea-or-mountains'] as const
export const POLLS: readonly string[] = [...LASTING_POLLS, ...CLOSING_POLLS, ...PASSING_POLLS]
/** Many, so that two votes of one voter are seldom for the same. */
export const OPTIONS = ['a', 'b', 'c', 'd', 'e', 'f'] as const

export interface Organiser {
  readonly acts: number
  /** The edits that were never answered: they may be carried out at any time. */
  readonly lateEdits: ReadonlySet<number>
  /** Creates every poll; throws where one cannot be created. */
  prepare(): Promise<void>
  start(): void
  /** Ends what is under way. */
  stop(): Promise<void>
}

export interface OrganiserOptions {
  readonly url: string
  readonly seed: number
  readonly journal: Journal
}

const PATIENCE_MS = 12_000

export function createOrganiser({ url, seed, journal }: OrganiserOptions): Organiser {
  const random = createRandom(seed + 2)
  const lateEdits = new Set<number>()
  const over = new AbortController()
  let edit = 0
  let acts = 0
  let running: Promise<void> | undefined

  const ask = async (method: string, path: string, body?: object): Promise<number> => {
    acts += 1
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${ADMIN_TOKEN}` }
    const signal = AbortSignal.timeout(PATIENCE_MS)
    const init = { method, headers, signal, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
    const status = await fetch(`${url}${path}`, init).then(
      async (response) => {
        await response.arrayBuffer()
        return response.status
      },
      () => 0,
    )
    journal.write({ act: `${method} ${path}`, body, status })
    return status
  }
  const options = (ids: readonly string[]) => ids.map((id) => ({ id, label: id.toUpperCase() }))
  const question = (slug: string) => {
    edit += 1
    return { edit, question: `${slug}? (${edit})` }
  }
  const create = async (slug: string) => {
    const next = question(slug)
    const body = { poll: slug, question: next.question, options: options(OPTIONS) }
    lateEdits.add(next.edit)
    const status = await ask('POST', '/api/polls', body)
    if (status >= 200 && status < 500) lateEdits.delete(next.edit)
    return status
  }
  const change = async (slug: string, more: object) => {
    const next = question(slug)
    lateEdits.add(next.edit)
    const status = await ask('PATCH', `/api/polls/${slug}`, { question: next.question, ...more })
    if (status >= 200 && status < 500) lateEdits.delete(next.edit)
  }
  const reset = (slug: string) => ask('POST', `/api/polls/${slug}/reset`)
  const createAgain = async (slug: string) => {
    await ask('DELETE', `/api/polls/${slug}`)
    // seldom long enough for anybody to have noticed
    await delay(random.pick([0, 0, 300, 1_500, 4_000]))
    while (!over.signal.aborted) {
      const status = await create(slug)
      if (status === 201 || status === 409) return
      await delay(300)
    }
  }

  const act = async () => {
    const chance = random.next()
    if (chance < 0.25) await change(random.pick(POLLS), {})
    else if (chance < 0.6) await change(random.pick(CLOSING_POLLS), { state: random.pick(['open', 'open', 'closed']) })
    else if (chance < 0.75) {
      // withdraws an option that has votes, and brings it back the next time
      await change(random.pick([LASTING_POLLS[1], ...CLOSING_POLLS]), {
        options: options(OPTIONS.slice(0, random.pick([5, 6, 6]))),
      })
    } else if (chance < 0.87) await reset(random.pick(POLLS))
    else await createAgain(random.pick(PASSING_POLLS))
  }

  const run = async () => {
    while (!over.signal.aborted) {
      await delay(random.between(800, 3_500), undefined, { signal: over.signal }).catch(() => {})
      if (!over.signal.aborted) await act()
    }
  }
  return {
    get acts() {
      return acts
    },
    lateEdits,
    async prepare() {
      for (const slug of POLLS) {
        const status = await create(slug)
        if (status !== 201) throw new Error(`the poll ${slug} was not created: status ${status}`)
      }
    },
    start() {
      running = run()
    },
    async stop() {
      over.abort()
      await running
    },
  }
}
