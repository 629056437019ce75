/** `npm run rollout`: a rolling restart by hand, with a report as JSON and as a picture. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { provideServices } from '../support/services.ts'
import { runRollout } from './rollout.ts'
import { drawRollout } from './svg.ts'
import { judge } from './verdict.ts'

const USAGE = `npm run rollout -- [options]: replaces every gateway in turn under a live audience and says what the audience saw

  --clients N    clients with the SDK              (2000)
  --plain N      sockets without it                (a tenth of the clients)
  --gateways N   gateways, each replaced in turn   (3)
  --spread MS    DRAIN_SPREAD_MS                   (6000)
  --notice MS    DRAIN_NOTICE_MS                   (2500)
  --burners N    processes that keep a core busy   (0)
  --rate N       tallies published a second        (20)
  --out DIR      where rollout.json and rollout.svg go (dist/rollout)`

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '2000' },
    plain: { type: 'string' },
    gateways: { type: 'string', default: '3' },
    spread: { type: 'string', default: '6000' },
    notice: { type: 'string', default: '2500' },
    burners: { type: 'string', default: '0' },
    rate: { type: 'string', default: '20' },
    out: { type: 'string', default: 'dist/rollout' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) {
  process.stdout.write(`${USAGE}\n`)
  process.exit(0)
}
const number = (name: string, text: string, least: number) => {
  if (/^\d{1,6}$/.test(text) && Number(text) >= least) return Number(text)
  process.stderr.write(`--${name} must be a whole number of at least ${least}, not ${JSON.stringify(text)}\n`)
  return process.exit(2)
}
const clients = number('clients', values.clients, 1)

await using stack = new AsyncDisposableStack()
const services = await provideServices(process.env, (service) => stack.defer(() => service.stop()))
process.env['TEST_REDIS_URL'] = services.redis.url
process.env['TEST_DATABASE_URL'] = services.postgres.url

const record = await runRollout({
  clients,
  plain: number('plain', values.plain ?? String(Math.round(clients / 10)), 0),
  gateways: number('gateways', values.gateways, 2),
  spreadMs: number('spread', values.spread, 0),
  noticeMs: number('notice', values.notice, 0),
  burners: number('burners', values.burners, 0),
  rate: number('rate', values.rate, 1),
  onProgress: (line) => process.stderr.write(`${line}\n`),
})
const verdict = judge(record)
mkdirSync(values.out, { recursive: true })
writeFileSync(join(values.out, 'rollout.json'), `${JSON.stringify(verdict, undefined, 2)}\n`)
writeFileSync(join(values.out, 'rollout.svg'), drawRollout(record, verdict))
process.stdout.write(`${JSON.stringify(verdict, undefined, 2)}\n`)
