/** The audience: clients with the real SDK, as compiled for browsers, each with the polls that it follows and what it shows of them. */
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { WebSocket } from 'ws'
import type { createTallyClient, PollFrame, TallyFrame } from '../../gateway/web/client/tally-client.ts'
import { isNewer } from '../../shared/protocol/order.ts'
import type { Journal } from './journal.ts'
import type { TallyLedger } from './tally-ledger.ts'

export interface Screen {
  readonly name: string
  readonly polls: readonly string[]
  readonly tallies: ReadonlyMap<string, TallyFrame>
  readonly definitions: ReadonlyMap<string, PollFrame>
  /** Whether it tells its viewers that what it shows may be old. */
  readonly admitsDelay: boolean
  /** For evidence: state, delay and the last tallies. */
  describe(): string
}

export interface ScreensOptions {
  readonly url: string
  /** What each screen follows. */
  readonly audience: readonly (readonly string[])[]
  readonly tallies: TallyLedger
  readonly journal: Journal
  /** The edits that were never answered. */
  readonly lateEdits: ReadonlySet<number>
  /** Where a previous version of the project is: every other screen then has the SDK of that one. */
  readonly previousRoot: string | undefined
}

export interface Screens {
  readonly all: readonly Screen[]
  stop(): void
}

type Create = typeof createTallyClient
const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** After a final close a viewer reloads the page; a page asks again so long after a poll of several is gone. */
const RELOAD_MS = 500

export async function openScreens(options: ScreensOptions): Promise<Screens> {
  const sdks = await Promise.all([ROOT, options.previousRoot ?? ROOT].map(loadSdk))
  const opened = options.audience.map((polls, number) => openScreen(`screen-${number}`, polls, sdks[number % 2]!, options))
  return {
    all: opened.map(({ screen }) => screen),
    stop() {
      for (const { close } of opened) close()
    },
  }
}

async function loadSdk(root: string): Promise<Create> {
  const { href } = pathToFileURL(join(root, 'dist/web/gateway/web/client/tally-client.js'))
  return ((await import(href)) as { readonly createTallyClient: Create }).createTallyClient
}

/** The number that the organiser puts into a question: definitions of one poll are ordered by it. */
export function editOf(question: string): number {
  return Number(/\((\d+)\)$/.exec(question)?.[1] ?? -1)
}

function openScreen(
  name: string,
  polls: readonly string[],
  create: Create,
  { url, tallies: ledger, journal, lateEdits }: ScreensOptions,
) {
  const tallies = new Map<string, TallyFrame>()
  const definitions = new Map<string, PollFrame>()
  let isOver = false
  const waits = new Set<NodeJS.Timeout>()
  let pages = 0
  let client = open()

  const later = (run: () => void) => {
    const wait = setTimeout(() => {
      waits.delete(wait)
      run()
    }, RELOAD_MS)
    waits.add(wait)
  }

  function open() {
    // ws speaks the browser's interface, its types differ in details
    // the package's class is the browser's in all that the client uses, but TypeScript's DOM types declare more
    const opened = create({ url: `${url}/ws`, WebSocket: WebSocket as unknown as typeof globalThis.WebSocket })
    pages += 1
    const page = `${name}, page ${pages}`
    opened.addEventListener('tally', ({ detail }) => {
      const before = tallies.get(detail.poll)
      tallies.set(detail.poll, detail)
      const wrong = ledger.shown(page, detail)
      // a page that was loaded anew knows nothing of the one before, and may be given an older tally while something is wrong
      if (wrong === undefined && before !== undefined && isNewer(before, detail) && journal.current === undefined) {
        journal.violate('a new page shows less than the one before, while nothing is wrong', screen.describe())
      }
      if (wrong !== undefined) journal.violate(wrong.rule, wrong.detail)
    })
    opened.addEventListener('poll', ({ detail }) => {
      definitions.set(detail.poll, detail)
      const wrong = ledger.defined(page, detail.poll, editOf(detail.question), lateEdits)
      if (wrong !== undefined) journal.violate(wrong.rule, `${wrong.detail} (${detail.state})`)
    })
    opened.addEventListener('status', ({ detail }) => {
      if (detail.state !== 'closed' || isOver) return
      journal.write({ screen: name, closed: detail.code, reason: detail.reason })
      later(() => (client = open()))
    })
    const follow = (poll: string) => {
      const onGone = () => {
        journal.write({ screen: name, gone: poll })
        later(() => opened.status.state === 'closed' || follow(poll))
      }
      opened.subscribe(poll, () => {}, { onGone })
    }
    for (const poll of polls) follow(poll)
    return opened
  }

  const screen: Screen = {
    name,
    polls,
    tallies,
    definitions,
    get admitsDelay() {
      return (
        client.status.delayed ||
        client.status.state === 'stale' ||
        client.status.state === 'closed' ||
        client.status.state === 'connecting'
      )
    },
    describe() {
      const { state, delayed, asOf } = client.status
      const shown = polls.map((poll) => `${poll} ${tallies.get(poll)?.epoch}.${tallies.get(poll)?.version}`)
      return `${name}: ${state}${delayed ? ', delayed' : ''}, as of ${Date.now() - (asOf ?? 0)} ms ago, shows ${shown.join(', ')}`
    },
  }
  const close = () => {
    isOver = true
    for (const wait of waits) clearTimeout(wait)
    client.close()
  }
  return { screen, close }
}
