/** `npm run chaos`: an hour, or less, of faults under an audience; says what went wrong, and exits with 1 then. */
import { parseArgs } from 'node:util'
import { FAULT_KINDS, type FaultKind } from './fault-plan.ts'
import { runChaos } from './chaos.ts'

const USAGE = `npm run chaos -- [options]: plants faults under voters and an audience, and checks what every screen shows

  --minutes N      how long                                    (60)
  --seed N         which faults, in which order                (1)
  --rate N         votes a second                              (50)
  --voters N       how many people vote                        (300)
  --screens N      how many screens                            (30)
  --fault KIND     only faults of this kind; may be repeated
  --previous REF   half of the processes and of the screens are of this commit or tag

kinds:
  ${FAULT_KINDS.join('\n  ')}`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    rate: { type: 'string', default: '50' },
    voters: { type: 'string', default: '300' },
    screens: { type: 'string', default: '30' },
    fault: { type: 'string', multiple: true },
    previous: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) {
  process.stdout.write(`${USAGE}\n`)
  process.exit(0)
}
const refuse = (complaint: string) => {
  process.stderr.write(`${complaint}\n`)
  return process.exit(2)
}
const number = (name: 'minutes' | 'seed' | 'rate' | 'voters' | 'screens', most: number) => {
  const text = values[name]
  if (/^\d{1,9}$/.test(text) && Number(text) >= 1 && Number(text) <= most) return Number(text)
  return refuse(`--${name} must be a whole number from 1 to ${most}, not ${JSON.stringify(text)}`)
}
const kind = (text: string): FaultKind =>
  FAULT_KINDS.find((each) => each === text) ??
  refuse(`--fault must be one of ${FAULT_KINDS.join(', ')}, not ${JSON.stringify(text)}`)

const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupted.abort())

try {
  const { report, text, directory } = await runChaos({
    seed: number('seed', 999_999_999),
    minutes: number('minutes', 10_000),
    rate: number('rate', 1_000),
    voters: number('voters', 10_000),
    screens: number('screens', 500),
    ...(values.fault === undefined ? {} : { kinds: values.fault.map(kind) }),
    ...(values.previous === undefined ? {} : { previous: values.previous }),
    signal: interrupted.signal,
    say: (line) => process.stderr.write(`${line}\n`),
  })
  process.stdout.write(`${text}\nThe report, the ledger and the logs: ${directory}\n`)
  process.exit(report.violations.length === 0 ? 0 : 1)
} catch (error) {
  if (!interrupted.signal.aborted) throw error
  process.stderr.write('interrupted; everything that was started has been stopped\n')
  process.exit(130)
}
