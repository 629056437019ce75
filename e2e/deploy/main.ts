/**
 * `npm run test:deploy`: the image, Compose and Swarm for real, on the Docker engine of this machine. Needs root; fails without.
 *
 *   npm run test:deploy                  all
 *   npm run test:deploy -- swarm         those whose names begin so
 *
 * BASE_IMAGE, POSTGRES_IMAGE, REDIS_IMAGE, TRAEFIK_IMAGE and HAPROXY_IMAGE stand in for the public ones.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { glob } from 'node:fs/promises'
import { basename } from 'node:path'
import { chooseBalancer, missingEngine, ROOT } from './engine.ts'

const missing = await missingEngine()
if (missing !== undefined) {
  console.error(`${missing}: nothing was tested`)
  process.exit(1)
}
const wanted = process.argv.slice(2)
const files: string[] = []
for await (const file of glob('e2e/deploy/*.deploy.ts', { cwd: ROOT })) {
  if (wanted.length === 0 || wanted.some((name) => basename(file).startsWith(name))) files.push(file)
}
console.error(`Balancer: ${await chooseBalancer()}\nTests: ${files.join(' ')}`)
// one after the other: each of them wants the whole machine
const tests = spawn(process.execPath, ['--test', '--test-concurrency=1', ...files.toSorted()], { cwd: ROOT, stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => tests.kill(signal))
const [code] = (await once(tests, 'exit')) as [number | null, NodeJS.Signals | null]
process.exitCode = code ?? 1
