import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RolloutRecord } from '../rollout/record.ts'
import { drawRollout } from '../rollout/svg.ts'
import type { Verdict } from '../rollout/verdict.ts'
import { ROOT } from './engine.ts'

const DIRECTORY = join(ROOT, 'dist/deploy')

/** Writes a run's report and picture to `dist/deploy`; resolves to a line that says where, and the figures that matter. */
export async function writeReport(name: string, report: object, record: RolloutRecord, verdict: Verdict): Promise<string> {
  await mkdir(DIRECTORY, { recursive: true })
  await writeFile(join(DIRECTORY, `${name}.json`), `${JSON.stringify(report, undefined, 2)}\n`)
  await writeFile(join(DIRECTORY, `${name}.svg`), drawRollout(record, verdict))
  const { clients, versionsPublished, longestGapMs, longestSilenceMs, lagMs } = verdict
  return (
    `dist/deploy/${name}.svg: ${clients} clients, ${versionsPublished} versions, longest gap ${longestGapMs} ms, ` +
    `longest silence ${longestSilenceMs} ms, lag p99 ${lagMs.p99} ms`
  )
}

/** Keeps what the containers said, to be read when a run failed. */
export async function writeLog(name: string, said: string): Promise<void> {
  await mkdir(DIRECTORY, { recursive: true })
  await writeFile(join(DIRECTORY, `${name}.log`), `${said}\n`)
}
