/** Shares out the schedules of a run among processes, and puts their reports together. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Report } from './simulate.ts'

export interface Shared {
  readonly seed: number
  readonly schedules: number
  readonly seconds: number
  readonly maxFindings: number
}

/** Rejects when a process ends without a report. */
export async function simulateInWorkers(shared: Shared, workers: number): Promise<Report> {
  const each = Math.ceil(shared.schedules / workers)
  const firsts = Array.from({ length: workers }, (_, worker) => shared.seed + worker * each)
  const last = shared.seed + shared.schedules
  const reports = await Promise.all(
    firsts.map((seed) => simulateInProcess({ ...shared, seed, schedules: Math.min(each, last - seed) })),
  )
  const met: Record<string, number> = {}
  for (const report of reports) for (const [state, times] of Object.entries(report.met)) met[state] = (met[state] ?? 0) + times
  const sum = (of: 'schedules' | 'steps' | 'virtualMs') => reports.reduce((total, report) => total + report[of], 0)
  return {
    schedules: sum('schedules'),
    steps: sum('steps'),
    virtualMs: sum('virtualMs'),
    findings: reports.flatMap(({ findings }) => findings),
    met,
    trace: reports.map(({ trace }) => trace).join(),
  }
}

/** One process of its own, since virtual time takes the place of the real one in all of it. */
export async function simulateInProcess({ seed, schedules, seconds, maxFindings }: Shared): Promise<Report> {
  const options = { seed, schedules, seconds, findings: maxFindings, workers: 1 }
  const main = fileURLToPath(new URL('main.ts', import.meta.url))
  const given = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
  const child = spawn(process.execPath, [main, '--json', ...given], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  for await (const chunk of child.stdout) output += String(chunk)
  return JSON.parse(output) as Report
}
