/** What every screen showed, in its order. Pure. */
import { isNewer, type Versioned } from '../../shared/protocol/order.ts'

export interface Shown extends Versioned {
  readonly poll: string
  readonly counts?: Readonly<Record<string, number>> | undefined
  readonly total: number
}

export interface Fault {
  readonly rule: string
  readonly detail: string
}

export interface TallyLedger {
  /** Writes down what somebody shows; returns what is wrong with it. */
  shown(screen: string, tally: Shown): Fault | undefined
  /**
   * Writes down the number of a definition that somebody shows. `late` are numbers whose edit was never answered: the database may
   * take them at any time.
   */
  defined(screen: string, poll: string, edit: number, late: ReadonlySet<number>): Fault | undefined
  /** How many tallies were written down. */
  readonly tallies: number
}

/** Contents of so many versions are kept for comparison. */
const KEPT_VERSIONS = 20_000

export function createTallyLedger(): TallyLedger {
  const newest = new Map<string, Versioned>()
  const definitions = new Map<string, number>()
  const contents = new Map<string, { readonly content: string; readonly screen: string }>()
  let tallies = 0
  return {
    get tallies() {
      return tallies
    },
    shown(screen, tally) {
      tallies += 1
      const place = `${tally.epoch}.${tally.version}`
      const content = JSON.stringify(tally.counts === undefined ? tally.total : sorted(tally.counts))
      const version = `${tally.poll} ${place}`
      const known = contents.get(version)
      if (known === undefined) {
        contents.set(version, { content, screen })
        if (contents.size > KEPT_VERSIONS) for (const oldest of contents.keys()) if (contents.delete(oldest)) break
      }
      const key = `${screen} ${tally.poll}`
      const before = newest.get(key)
      if (before === undefined || isNewer(tally, before)) newest.set(key, tally)
      if (before !== undefined && isNewer(before, tally)) {
        return { rule: 'a screen went backwards', detail: `${key}: ${place} after ${before.epoch}.${before.version}` }
      }
      if (known !== undefined && known.content !== content) {
        return {
          rule: 'one version has two contents',
          detail: `${version}: ${content} on ${screen}, ${known.content} on ${known.screen}`,
        }
      }
      const sum = tally.counts === undefined ? tally.total : Object.values(tally.counts).reduce((all, n) => all + n, 0)
      if (sum !== tally.total)
        return { rule: 'a total is not the sum of its counts', detail: `${version}: ${content}, total ${tally.total}` }
    },
    defined(screen, poll, edit, late) {
      const key = `${screen} ${poll}`
      const before = definitions.get(key) ?? -1
      if (edit > before) definitions.set(key, edit)
      if (edit >= before || late.has(edit)) return undefined
      return { rule: 'a definition went backwards', detail: `${key}: edit ${edit} after edit ${before}` }
    },
  }
}

function sorted(counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
