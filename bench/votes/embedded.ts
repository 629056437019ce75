/** The embedded database: its ballot box, what it does to the event loop, and how soon the first page is there. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createBallotBox } from '../../backend/ballots/ballot-box.ts'
import { openPglite } from '../../backend/pglite/open.ts'
import { sustain } from './sample.ts'
import { createBenchPoll, createElectorate, LOG } from './scene.ts'

/** Acknowledged votes per second on PGlite on disk, and the event loop's delay meanwhile. */
export async function measurePglite(roundMs: number): Promise<{ readonly perSecond: number; readonly loopP99Ms: number }> {
  const dataDir = mkdtempSync(join(tmpdir(), 'livetally-bench-'))
  const database = await openPglite({ dataDir, log: LOG })
  try {
    const { slug: poll } = await createBenchPoll(database, 'embedded')
    const box = createBallotBox({ database, log: LOG, now: Date.now })
    const electorate = createElectorate()
    const cast = async () => {
      await box.cast({ slug: poll, ...electorate.vote() })
    }
    await sustain(1_024, 500, cast)
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    const { perSecond } = await sustain(1_024, roundMs, cast)
    delay.disable()
    await box.drain()
    // the histogram counts the resolution itself
    return { perSecond, loopP99Ms: Math.max(0, delay.percentile(99) / 1e6 - 1) }
  } finally {
    await database.close()
    rmSync(dataDir, { recursive: true, force: true })
  }
}

/** From the start of the standalone process on an empty directory until it names its address, in ms. */
export async function measureColdStart(): Promise<number> {
  const dataDir = mkdtempSync(join(tmpdir(), 'livetally-bench-'))
  const startedAt = performance.now()
  const child = spawn('node', ['infra/standalone/main.ts'], {
    env: { ...process.env, DATA_DIR: dataDir, PORT: '0', HOST: '127.0.0.1', LOG_LEVEL: 'error' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    return await new Promise<number>((resolve, reject) => {
      child.stdout.on('data', (text: Buffer) => {
        if (text.includes('Livetally is at')) resolve(performance.now() - startedAt)
      })
      child.once('exit', (code) => reject(new Error(`the standalone process ended with ${code}`)))
    })
  } finally {
    child.removeAllListeners('exit')
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await gone
    rmSync(dataDir, { recursive: true, force: true })
  }
}
