import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { testUrl } from '../../e2e/support/test-url.ts'
import { judgeAims } from './aims.ts'
import type { ContenderName } from './contenders.ts'
import { against, median, over, type Round } from './figures.ts'
import type { Results } from './results.ts'
import { snapshotAt, TALLY_BYTES } from './tally.ts'
import type { Visit, Window } from './visit.ts'

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))

/** A visit whose every cost is `cost`. */
function visit(contender: ContenderName, cost: number, more: Partial<Visit> = {}): Visit {
  const window: Window = { cpuUs: cost, userUs: cost / 2, loadUs: 1, othersShare: 0, perSecond: 1e6 / cost, p50Ms: 1, p99Ms: 2 }
  return {
    contender,
    handshakesPerSecond: 1_000 / cost,
    handshakeCpuUs: cost,
    handshakeLoadUs: 1,
    residentBytesPerSocket: 1_000 * cost,
    fanout: window,
    framesOf200: 20,
    fourPolls: { one: window, four: { ...window, cpuUs: cost / 4 } },
    burst: { ms: 2_000, live: 15_000, refused: 0, failed: 0, overflows: 0 },
    ...more,
  }
}

const round = (ours: number, theirs: number, more?: Partial<Visit>): Round => ({
  livetally: visit('livetally', ours, more),
  ws: visit('ws', theirs),
  'socket.io': visit('socket.io', theirs),
  epoll: visit('epoll', theirs),
})

const trials = {
  burst: 15_000,
  storm: {
    sockets: 19_000,
    seconds: 8,
    published: 100,
    seen: 50,
    probing: { probes: 400, bad: 0, p50Us: 1_000, p99Us: 50_000, maxUs: 60_000 },
  },
  slowReaders: {
    readers: 100,
    seconds: 60,
    published: 1_000,
    growthBytes: 0,
    peakGrowthBytes: 1e6,
    peakWhileReadingBytes: 0,
    socketsBefore: 1_100,
    socketsAfter: 1_000,
  },
} as const

test('every tally that is fanned out is as long as the bench says, whatever its version', () => {
  for (const version of [1, 5_125_221_102, Number.MAX_SAFE_INTEGER]) {
    assert.equal(Buffer.byteLength(JSON.stringify(snapshotAt(3, version).tally)), TALLY_BYTES)
  }
})

test('ratios pair what met in the same round, so that a slow round does not shift them', () => {
  const rounds = [round(1, 2), round(10, 20), { livetally: visit('livetally', 99) }, round(3, 6)]
  assert.deepEqual(
    against(rounds, 'ws', ({ fanout }) => fanout.cpuUs),
    { median: 0.5, least: 0.5, most: 0.5 },
  )
  assert.equal(over(rounds, 'ws', ({ fanout }) => fanout.cpuUs)?.median, 6)
  assert.equal(
    over(rounds, 'ws', ({ moved }) => moved?.cpuUs),
    undefined,
  )
  assert.equal(median([4, 1, 3, 2]), 2.5)
})

test('an aim is met at its bound, missed beyond it, and neither when nothing was measured', () => {
  const verdicts = (rounds: readonly Round[], changed: object = {}) =>
    judgeAims({ ...trials, rounds, ...changed }).map(({ met }) => met)
  const good = [round(1, 8)]
  const judged = verdicts(good)
  assert.equal(judged.length, 16)
  assert.equal(judged.filter((met) => met === undefined).length, 3, 'the receiving half was not moved')
  assert.ok(judged.every((met) => met !== false))
  const missed = verdicts(
    [round(8, 8, { framesOf200: 21, burst: { ms: 3_001, live: 15_000, refused: 0, failed: 0, overflows: 0 } })],
    {
      storm: { ...trials.storm, probing: { ...trials.storm.probing, p99Us: 50_001 } },
      slowReaders: { ...trials.slowReaders, peakGrowthBytes: 1_000_001 },
    },
  )
  // equal to the others is good enough against the C server, and four polls still share a write
  assert.equal(missed.filter((met) => met === true).length, 2)
  assert.equal(missed.filter((met) => met === false).length, 11)
  const dropped = [round(1, 8, { burst: { ms: 100, live: 15_000, refused: 0, failed: 0, overflows: 1 } })]
  assert.equal(
    verdicts(dropped).filter((met) => met === false).length,
    1,
    'a connection the backlog refused is a miss, however quick',
  )
})

test('a quick run measures every contender and writes its results', async (t) => {
  const out = await mkdtemp(join(tmpdir(), 'livetally-fanout-test-'))
  t.after(() => rm(out, { recursive: true }))
  await promisify(execFile)(process.execPath, [MAIN, '--quick', '--sockets', '100', '--out', out], {
    env: { PATH: process.env['PATH'], TEST_REDIS_URL: testUrl('TEST_REDIS_URL') },
    timeout: 150_000,
  })
  assert.deepEqual((await readdir(out)).toSorted(), ['fanout.json', 'fanout.md', 'fanout.svg'])
  const results = JSON.parse(await readFile(join(out, 'fanout.json'), 'utf8')) as Results
  assert.equal(results.settings.quick, true)
  const [measured] = results.rounds
  const present = Object.values(measured ?? {})
  // the C server is there where a compiler is
  assert.deepEqual(
    present.map(({ contender }) => contender).filter((name) => name !== 'epoll'),
    ['livetally', 'ws', 'socket.io'],
  )
  for (const seen of present) {
    const name = seen.contender
    for (const window of [seen.fanout, seen.fourPolls.one, seen.fourPolls.four]) {
      assert.ok(window.cpuUs > 0.1 && window.cpuUs < 1_000, `${name}: ${window.cpuUs} µs per message`)
      assert.ok(window.userUs <= window.cpuUs * 1.5 + 10, `${name}: more in user mode than in all`)
      assert.ok(window.p50Ms > 0 && window.p50Ms <= window.p99Ms, `${name}: quantiles out of order`)
      assert.ok(window.perSecond > 100, `${name}: ${window.perSecond} messages a second`)
    }
    assert.ok(seen.handshakesPerSecond > 10, `${name}: ${seen.handshakesPerSecond} handshakes a second`)
    assert.equal(seen.burst.live, results.settings.burst, `${name}: not everybody came to life`)
    // the gateway sends a poll at most twenty times a second, the others each change
    if (name === 'livetally') assert.ok(seen.framesOf200 >= 5 && seen.framesOf200 <= 25, `${seen.framesOf200} frames`)
    else assert.ok(seen.framesOf200 >= 150, `${name}: ${seen.framesOf200} frames`)
  }
  assert.ok(results.storm.probing.probes > 0)
  assert.equal(results.storm.probing.bad, 0)
  assert.ok(results.slowReaders.published > 20)
  assert.equal(results.aims.length, 16)
  assert.match(await readFile(join(out, 'fanout.md'), 'utf8'), /A quick run/)
  assert.match(await readFile(join(out, 'fanout.svg'), 'utf8'), /^<svg [\s\S]*<\/svg>\n$/)
})
