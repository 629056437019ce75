/** The lines in which requests to read wait for the backends (docs/adr/0021). */
import { problemResponse } from '../../shared/protocol/problem.ts'
import type { ApiRequest } from './api.ts'
import { createLine } from './line.ts'

/** The most requests to read that are at the backends at a time; further ones stand in line here. */
const MAX_READS = 16
/** The same for reads that may take long, which have a line of their own, so that no page waits for them. */
const MAX_SLOW_READS = 4
/** How long they stand in line, in ms: long enough for the largest crowd that one gateway can hold. */
const LINE_MS = 30_000
/** Reads whose cost grows with what a poll has been through: its history, and all its ballots. */
const SLOW_READ = /\/(?:history|export\.csv)$/

/**
 * Returns a function that does the work for a read when its turn has come. It answers 503 when that is too late. `now` is a clock for
 * spans, in ms.
 */
export function createReadLines(now: () => number): (request: ApiRequest, work: () => Promise<Response>) => Promise<Response> {
  const inLine = createLine({ atOnce: MAX_READS, patienceMs: LINE_MS, now })
  const inSlowLine = createLine({ atOnce: MAX_SLOW_READS, patienceMs: LINE_MS, now })
  return async (request, work) => {
    if (request.isAheadOfLine === true) return await work()
    const answer = await (isSlow(request.target) ? inSlowLine : inLine)(work, request.isAwaited)
    return answer ?? problemResponse(503, 'overloaded', 'Too many read here. Try again in a moment.', { 'retry-after': '1' })
  }
}

/** Whether a read may take long. The backend decodes the path before it looks who answers. */
function isSlow(target: string): boolean {
  try {
    return SLOW_READ.test(decodeURIComponent(target.split('?', 1)[0] ?? ''))
  } catch {
    return true
  }
}
