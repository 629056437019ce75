/** Whether a rolling restart was invisible, in figures. */
import type { ClientRecord, RolloutRecord } from './record.ts'

export interface Verdict {
  readonly clients: number
  readonly plain: number
  readonly versionsPublished: number
  readonly votesAcknowledged: number
  readonly httpRequests: number
  readonly httpFailures: readonly string[]
  /** SDK clients that ended with an older version than the last published. */
  readonly clientsBehind: number
  /** SDK clients that were at any time without an open socket that had brought its tally, and the longest such time in ms. */
  readonly clientsWithGap: number
  readonly longestGapMs: number
  /** How often any client was handed a tally that was not newer. */
  readonly backwards: number
  /** States other than live and moving that an SDK client was in after it was first live. */
  readonly otherStates: readonly string[]
  /** The longest time any SDK client saw nothing new while votes were cast, in ms. */
  readonly longestSilenceMs: number
  /** How long after its publication a version, or a newer one, was seen by an SDK client: median, 99th percentile, longest, in ms. */
  readonly lagMs: { readonly p50: number; readonly p99: number; readonly max: number }
  /** Close codes the plain sockets on replaced gateways saw. */
  readonly plainCloseCodes: Readonly<Record<string, number>>
  /** The largest share of a replaced gateway's sockets that arrived at one other gateway within 250 ms. */
  readonly largestHerd: number
  readonly exits: readonly { readonly slot: string; readonly code: number | null; readonly tookMs: number }[]
  readonly deadlineMs: number
}

const HERD_WINDOW_MS = 250

export function judge(record: RolloutRecord): Verdict {
  const sdk = record.clients.filter(({ kind }) => kind === 'sdk')
  const plain = record.clients.filter(({ kind }) => kind === 'plain')
  const gaps = sdk.map((client) => longestGap(client, record.endedAt))
  const last = Math.max(...record.published.map(({ version }) => version))
  const lags = sdk.flatMap((client) => lagsOf(client, record)).toSorted((a, b) => a - b)
  const at = (quantile: number) => Math.round(lags[Math.min(lags.length - 1, Math.floor(lags.length * quantile))] ?? 0)
  return {
    clients: sdk.length,
    plain: plain.length,
    versionsPublished: record.published.length,
    votesAcknowledged: record.votesAcknowledged,
    httpRequests: record.http.requests,
    httpFailures: record.http.failures,
    clientsBehind: sdk.filter(({ tallies }) => (tallies.at(-2) ?? -1) < last).length,
    clientsWithGap: gaps.filter((gapMs) => gapMs > 0).length,
    longestGapMs: Math.max(0, ...gaps),
    backwards: record.clients.reduce((sum, { backwards }) => sum + backwards, 0),
    otherStates: [...new Set(sdk.flatMap(({ states }) => states))].filter((state) => state !== 'live' && state !== 'moving'),
    longestSilenceMs: sdk.reduce((longest, client) => Math.max(longest, longestSilence(client, record)), 0),
    lagMs: { p50: at(0.5), p99: at(0.99), max: at(1) },
    plainCloseCodes: Object.fromEntries(
      Object.entries(Object.groupBy(plain.flatMap(endedSockets), ({ code }) => code)).map(([code, sockets]) => [
        code,
        sockets?.length ?? 0,
      ]),
    ),
    largestHerd: Math.max(0, ...record.replacements.map((replacement) => largestHerd(record, replacement))),
    exits: record.replacements.map(({ slot, exitCode, signalledAt, exitedAt }) => ({
      slot,
      code: exitCode,
      tookMs: exitedAt - signalledAt,
    })),
    deadlineMs: record.deadlineMs,
  }
}

const endedSockets = (client: ClientRecord) => client.sockets.filter(({ code }) => code !== 0)

/** The longest time between the end of what was live and the next socket's first tally; 0 when they always overlapped. */
function longestGap({ sockets }: ClientRecord, endedAt: number): number {
  const lives = sockets.filter(({ liveAt }) => liveAt > 0).toSorted((a, b) => a.liveAt - b.liveAt)
  let coveredUntil = lives[0]?.liveAt ?? 0
  let longest = 0
  for (const { liveAt, endedAt: ended } of lives) {
    longest = Math.max(longest, liveAt - coveredUntil)
    coveredUntil = Math.max(coveredUntil, ended === 0 ? endedAt : ended)
  }
  return Math.max(longest, endedAt - coveredUntil)
}

function longestSilence({ tallies }: ClientRecord, { startedAt, published }: RolloutRecord): number {
  const until = published.at(-1)?.at ?? startedAt
  const times = tallies.filter((_, index) => index % 2 === 1).filter((at) => at >= startedAt && at <= until)
  return [...times, until].reduce((longest, at, index) => Math.max(longest, at - (times[index - 1] ?? startedAt)), 0)
}

/** For each published version: how long until the client saw it or a newer one. */
function lagsOf({ tallies }: ClientRecord, { startedAt, published }: RolloutRecord): number[] {
  const lags: number[] = []
  let next = 0
  for (const { version, at } of published) {
    if (at < startedAt) continue
    while (next < tallies.length && (tallies[next] ?? 0) < version) next += 2
    lags.push(next < tallies.length ? Math.max(0, (tallies[next + 1] ?? 0) - at) : Infinity)
  }
  return lags
}

function largestHerd(record: RolloutRecord, { slot, signalledAt, exitedAt }: RolloutRecord['replacements'][number]): number {
  const sockets = record.clients.flatMap((client) => client.sockets)
  const held = sockets.filter(
    (socket) => socket.slot === slot && socket.openedAt < signalledAt && (socket.endedAt === 0 || socket.endedAt > signalledAt),
  )
  const arrivals = Object.values(
    Object.groupBy(
      sockets.filter((socket) => socket.openedAt >= signalledAt && socket.openedAt <= exitedAt + 500),
      (socket) => socket.slot,
    ),
  )
  let largest = 0
  for (const group of arrivals) {
    const times = (group ?? []).map(({ openedAt }) => openedAt).toSorted((a, b) => a - b)
    let first = 0
    for (const [index, time] of times.entries()) {
      while ((times[first] ?? 0) < time - HERD_WINDOW_MS) first += 1
      largest = Math.max(largest, index - first + 1)
    }
  }
  return held.length === 0 ? 0 : largest / held.length
}
