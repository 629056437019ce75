import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startChild } from './child.ts'
import { freePort } from './free-port.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const SERVICE = `
import { createServer } from 'node:http'
console.log(JSON.stringify({ msg: 'starting', leaked: process.env.DATABASE_URL ?? null }))
const server = createServer((_, response) => response.end('fine'))
let ready = false
setTimeout(() => { ready = true; server.listen(Number(process.env.PORT), '127.0.0.1') }, 100)
process.on('SIGTERM', () => { if (process.env.STUBBORN) return; console.log(JSON.stringify({ msg: 'leaving' })); process.exit(3) })
`
let directory: string
let entry: string

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'livetally-child-'))
  await writeFile(join(directory, 'service.mjs'), SERVICE)
  entry = relative(ROOT, join(directory, 'service.mjs'))
})
after(() => rm(directory, { recursive: true }))

test('a child is awaited by its log and its probe, stopped by a signal, and gives its exit', async () => {
  const port = await freePort()
  await using child = startChild({ entry, env: { PORT: String(port) } })
  assert.equal((await child.logged(({ msg }) => msg === 'starting'))['leaked'], null)
  await child.answers(`http://127.0.0.1:${port}/`)
  const exit = await child.stop()
  assert.equal(exit.code, 3)
  assert.equal(exit.signal, null)
  assert.ok(exit.tookMs < 5_000)
  assert.equal(child.logs.at(-1)?.msg, 'leaving')
})

test('waiting for a child that ends instead is refused with what it said', async () => {
  await using child = startChild({ entry: join(entry, 'nothing-here.mjs') })
  await assert.rejects(
    child.logged(() => true),
    /ended \(1\) before it logged the line[^]*Cannot find module/,
  )
})

test('a child that ignores the signal is killed, and the wait for it refused', async () => {
  const port = await freePort()
  await using child = startChild({ entry, env: { PORT: String(port), STUBBORN: '1' } })
  await child.answers(`http://127.0.0.1:${port}/`)
  await assert.rejects(child.stop('SIGTERM', { timeoutMs: 100 }), /did not leave within 100 ms of SIGTERM/)
})
