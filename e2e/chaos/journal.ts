/** What happens in a chaos run, in order: chapters of faults, violations, and a file with every vote and every version. */
import { createWriteStream } from 'node:fs'
import { once } from 'node:events'
import type { Fault } from './fault-plan.ts'

/** One fault from its beginning until everything is well again. Times are ms since 1970. */
export interface Chapter {
  readonly number: number
  readonly fault: Fault
  readonly startedAt: number
  /** When the fault itself was over. */
  overAt?: number
  /** Since when no news can reach any screen; undefined again once it can. */
  silence?: number | undefined
  /** When every screen was right again, or was given up. */
  endedAt?: number
  /** How long after `overAt` each screen was right, in ms; Infinity for one that was not within the patience. */
  recoveriesMs?: readonly number[]
  /** How long each process that was told to leave took, and its exit code. */
  readonly exits: { readonly name: string; readonly code: number | null; readonly tookMs: number }[]
}

export interface Violation {
  readonly rule: string
  readonly detail: string
  /** Seconds since the start of the run. */
  readonly second: number
  /** The fault under way, or the one before. */
  readonly during: string
}

export interface Journal {
  readonly startedAt: number
  readonly chapters: readonly Chapter[]
  readonly violations: readonly Violation[]
  /** How often each rule was broken, also where no further violations were written down. */
  readonly broken: ReadonlyMap<string, number>
  /** The chapter under way. */
  readonly current: Chapter | undefined
  begin(fault: Fault): Chapter
  end(chapter: Chapter): void
  violate(rule: string, detail: string): void
  /** Writes a line into the ledger's file. */
  write(line: Readonly<Record<string, unknown>>): void
  say(line: string): void
  close(): Promise<void>
}

/** So many violations of one rule in one chapter are written down; all are counted. */
const PER_RULE_AND_CHAPTER = 3

export function createJournal(path: string, say: (line: string) => void): Journal {
  const file = createWriteStream(path)
  const startedAt = Date.now()
  const chapters: Chapter[] = []
  const violations: Violation[] = []
  const broken = new Map<string, number>()
  const noted = new Map<string, number>()
  let current: Chapter | undefined
  const second = () => Math.round((Date.now() - startedAt) / 100) / 10
  const write: Journal['write'] = (line) => void file.write(`${JSON.stringify({ at: Date.now() - startedAt, ...line })}\n`)
  return {
    startedAt,
    chapters,
    violations,
    broken,
    get current() {
      return current
    },
    begin(fault) {
      current = { number: chapters.length + 1, fault, startedAt: Date.now(), exits: [] }
      chapters.push(current)
      write({ fault })
      return current
    },
    end(chapter) {
      chapter.endedAt = Date.now()
      current = undefined
      write({ ended: chapter })
    },
    violate(rule, detail) {
      broken.set(rule, (broken.get(rule) ?? 0) + 1)
      const last = current ?? chapters.at(-1)
      const key = `${rule} ${last?.number}`
      noted.set(key, (noted.get(key) ?? 0) + 1)
      if ((noted.get(key) ?? 0) > PER_RULE_AND_CHAPTER) return
      const during =
        last === undefined
          ? 'before the first fault'
          : `${current === undefined ? 'after' : 'during'} fault ${last.number}, ${JSON.stringify(last.fault)}`
      const violation = { rule, detail, second: second(), during }
      violations.push(violation)
      write({ violation })
      say(`VIOLATION at ${violation.second} s: ${rule}: ${detail} (${during})`)
    },
    write,
    say: (line) => say(`${String(Math.round(second())).padStart(5)} s  ${line}`),
    async close() {
      file.end()
      await once(file, 'finish')
    },
  }
}
