/** The lines in which requests to read wait for the backends (docs/adr/0021). */
import { problemResponse } from '../../shared/protocol/problem.ts'
import type { ApiRequest } from './api.ts'
import { createLine, type InLine, type LineOptions } from './line.ts'

/** The most requests to read that are at the backends at a time; further ones stand in line here. */
const MAX_READS = 16
/** The same for reads that may take long, which have a line of their own, so that no page waits for them. */
const MAX_SLOW_READS = 4
/** The most that stand in each line, the largest crowd that one gateway can hold; more are turned away at once. */
const MAX_IN_LINE = 20_000
/** How long they stand in line, in ms: long enough for the largest crowd that one gateway can hold. */
const LINE_MS = 30_000
/** Reads whose cost grows with what a poll has been through: its history, and all its ballots. */
const SLOW_READ = /\/(?:history|export\.csv)$/

/**
 * Returns a function that does the work for a read when its turn has come. It answers 503 when that is too late. `now` is a clock for
 * spans, in ms.
 */
export function createReadLines(now: () => number): (request: ApiRequest, work: () => Promise<Response>) => Promise<Response> {
  const reads = createBoundedLine({ atOnce: MAX_READS, patienceMs: LINE_MS, now })
  const slowReads = createBoundedLine({ atOnce: MAX_SLOW_READS, patienceMs: LINE_MS, now })
  return async (request, work) => {
    if (request.isAheadOfLine === true) return await work()
    const answer = await (isSlowRead(request.target) ? slowReads : reads)(work, request.isAwaited)
    return answer ?? problemResponse(503, 'overloaded', 'Too many read here. Try again in a moment.', { 'retry-after': '1' })
  }
}

/** A line in which no more than `MAX_IN_LINE` stand or are at work; it resolves to undefined for any other. */
function createBoundedLine(options: LineOptions): InLine {
  const inLine = createLine(options)
  let size = 0
  return async (work, isAwaited) => {
    if (size === MAX_IN_LINE) return undefined
    size += 1
    try {
      return await inLine(work, isAwaited)
    } finally {
      size -= 1
    }
  }
}

/** Whether a read may take long. The backend decodes the path before it looks who answers. */
export function isSlowRead(target: string): boolean {
  try {
    return SLOW_READ.test(decodeURIComponent(target.split('?', 1)[0] ?? ''))
  } catch {
    return true
  }
}
