import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
let house: string

before(async () => {
  house = await mkdtemp(join(tmpdir(), 'livetally-walls-'))
  await copyFile(join(ROOT, 'oxlint.config.ts'), join(house, 'oxlint.config.ts'))
})
after(() => rm(house, { recursive: true }))

const SERVICES = 'gateway and backend never import each other'
const ROOMS = 'The rooms of shared/ do not import each other'
const DOOR = 'Each vendor has one door'
const PROCESS = 'Only main.ts touches process'
const PAGES = 'Pages import shared/protocol alone'

/** A file that must not import what it imports, and the words in which it is refused. */
const REFUSED: readonly (readonly [file: string, line: string, message: string])[] = [
  ['gateway/hub.ts', `import { schema } from '../backend/schema.ts'`, SERVICES],
  ['gateway/hub.ts', `import type { Poll } from '../backend/schema.ts'`, SERVICES],
  ['gateway/hub.ts', `export const schema = await import('../backend/schema.ts')`, SERVICES],
  ['gateway/hub.ts', `export { schema } from '../backend/schema.ts'`, SERVICES],
  ['gateway/main.ts', `import { schema } from '../backend/schema.ts'`, SERVICES],
  ['gateway/upgrade.ts', `import { schema } from '../backend/schema.ts'`, SERVICES],
  ['gateway/hub.test.ts', `import { schema } from '../backend/schema.ts'`, SERVICES],
  ['backend/app.ts', `import { hub } from '../gateway/hub.ts'`, SERVICES],
  ['backend/db.ts', `import { hub } from '../gateway/hub.ts'`, SERVICES],
  ['backend/app.test.ts', `import { hub } from '../gateway/hub.ts'`, SERVICES],
  ['backend/app.ts', `import { cluster } from '../e2e/support/cluster.ts'`, 'The services stand without e2e/'],

  ['gateway/web/page.ts', `import { hub } from '../hub.ts'`, PAGES],
  ['gateway/web/page.ts', `import { env } from '../../shared/config/env.ts'`, PAGES],
  ['gateway/web/client/client.ts', `import { env } from '../../../shared/config/env.ts'`, PAGES],
  ['gateway/web/client/client.ts', `import { hub } from '../../hub.ts'`, PAGES],
  [
    'gateway/web/client/client.ts',
    `import { Frame } from '../../../shared/protocol/frames.ts'`,
    'Pages import the types of the frames alone',
  ],
  ['gateway/web/page.ts', `import { z } from 'zod'`, 'Pages import no packages'],

  ['shared/config/env.ts', `import { phase } from '../lifecycle/phase.ts'`, ROOMS],
  ['shared/config/env.ts', `import { order } from '../protocol/order.ts'`, ROOMS],
  ['shared/bus/memory-bus.ts', `import { phase } from '../lifecycle/phase.ts'`, ROOMS],
  ['shared/bus/redis-bus.ts', `import { phase } from '../lifecycle/phase.ts'`, ROOMS],
  ['shared/config/env.ts', `import { hub } from '../../gateway/hub.ts'`, ROOMS],
  ['shared/config/env.test.ts', `import { hub } from '../../gateway/hub.ts'`, SERVICES],
  ['shared/bus/memory-bus.ts', `import { createLog } from '../telemetry/log.ts'`, 'share the type of the log alone'],

  ['shared/bus/memory-bus.ts', `import { Redis } from 'ioredis'`, DOOR],
  ['gateway/tally-feed.ts', `import { Redis } from 'ioredis'`, DOOR],
  ['gateway/hub.ts', `import { WebSocket } from 'ws'`, DOOR],
  ['gateway/upgrade.ts', `import pRetry from 'p-retry'`, DOOR],
  ['shared/lifecycle/drain.ts', `import pRetry from 'p-retry'`, DOOR],
  ['backend/app.ts', `import { Pool } from 'pg'`, DOOR],
  ['backend/poll-store.ts', `import { Pool } from 'pg'`, DOOR],
  ['backend/app.ts', `import { drizzle } from 'drizzle-orm/node-postgres'`, DOOR],
  ['gateway/app.ts', `import { sql } from 'drizzle-orm'`, DOOR],
  // it has a door that loads it faster
  ['backend/schema.ts', `import { sql } from 'drizzle-orm'`, DOOR],
  ['backend/tally-store.ts', `import { PGlite } from '@electric-sql/pglite'`, DOOR],
  ['infra/standalone/main.ts', `import { PGlite } from '@electric-sql/pglite'`, DOOR],
  ['shared/lifecycle/probes.ts', `import { Hono } from 'hono'`, DOOR],
  ['shared/lifecycle/probes.ts', `import type { Context } from 'hono'`, DOOR],
  ['gateway/app.ts', `import { pino } from 'pino'`, DOOR],
  ['gateway/connection.ts', `import koffi from 'koffi'`, DOOR],
  ['gateway/app.ts', `import { Counter } from '@prometheus-io/client'`, DOOR],

  ['gateway/app.ts', `import process from 'node:process'`, PROCESS],
  ['shared/lifecycle/signals.ts', `import { exit } from 'process'`, PROCESS],
  ['backend/app.ts', `export const port = process.env.PORT`, PROCESS],
  ['shared/config/env.ts', `export const port = process.env.PORT`, PROCESS],

  ['shared/protocol/index.ts', `export * from './frames.ts'`, 'barrel'],
  ['backend/app.ts', '\n'.repeat(301), 'too many lines'],
]

for (const [file, line, message] of REFUSED) {
  test(`${file} may not say ${line.trim() || 'so much'}`, async () => {
    const { code, said } = await lint({ [file]: line })
    assert.equal(code, 1, said)
    assert.ok(said.includes(message), said)
  })
}

/** The same kinds of imports where they belong. */
const ACCEPTED: Readonly<Record<string, string>> = {
  'gateway/hub.ts': `import type { Frame } from '../shared/protocol/frames.ts'\nimport { Frame as schema } from '../shared/protocol/frames.ts'`,
  'gateway/upgrade.ts': `import { WebSocketServer } from 'ws'\nimport { Hono } from 'hono'`,
  'gateway/forward.ts': `import pRetry from 'p-retry'`,
  'gateway/main.ts': `export const env = process.env`,
  'gateway/web/page.ts': `import { isNewer } from '../../shared/protocol/order.ts'\nimport { client } from './client/client.ts'`,
  'gateway/web/client/client.ts': `import type { Frame } from '../../../shared/protocol/frames.ts'\nimport { view } from '../view.ts'`,
  'backend/db.ts': `import { Pool } from 'pg'\nimport type { NodePgDatabase } from './drizzle.ts'`,
  'backend/drizzle.ts': `import type * as core from 'drizzle-orm'`,
  'backend/pglite-worker.ts': `import { PGlite } from '@electric-sql/pglite'`,
  'shared/bus/redis-bus.ts': `import { Redis } from 'ioredis'\nimport { isNewer } from '../protocol/order.ts'\nimport type { Log } from '../telemetry/log.ts'`,
  'shared/lifecycle/retry.ts': `import pRetry from 'p-retry'\nimport type { Log } from '../telemetry/log.ts'`,
  'shared/bus/tally-bus.test.ts': `import { Redis } from 'ioredis'\nimport { testRedis } from '../../e2e/support/test-redis.ts'`,
  'infra/standalone/main.ts': `import { createBackend } from '../../backend/backend.ts'\nimport { createGateway } from '../../gateway/gateway.ts'`,
  'e2e/cluster.test.ts': `import { Client } from 'pg'\nimport { hub } from '../gateway/hub.ts'\nimport { app } from '../backend/app.ts'`,
}

for (const [file, lines] of Object.entries(ACCEPTED)) {
  test(`${file} may import what it is for`, async () => {
    const { code, said } = await lint({ [file]: lines })
    assert.equal(code, 0, said)
  })
}

test('files may not import each other in a circle', async () => {
  const { code, said } = await lint({
    'gateway/one.ts': `import { two } from './two.ts'\nexport const one = () => two`,
    'gateway/two.ts': `import { one } from './one.ts'\nexport const two = () => one`,
  })
  assert.equal(code, 1, said)
  assert.match(said, /no-cycle/)
})

/** Lints the files as the project's own would be, minus what is no wall: that an import is used, for one. */
async function lint(files: Readonly<Record<string, string>>): Promise<{ code: number | null; said: string }> {
  for (const [file, content] of Object.entries(files)) {
    await mkdir(dirname(join(house, file)), { recursive: true })
    await writeFile(join(house, file), `${content}\n`)
  }
  const linter = join(ROOT, 'node_modules/oxlint/bin/oxlint')
  const args = ['--deny-warnings', '--allow=no-unused-vars', '--format=json', ...Object.keys(files)]
  const { status, stdout, stderr } = spawnSync(process.execPath, [linter, ...args], { cwd: house, encoding: 'utf8' })
  for (const file of Object.keys(files)) await rm(join(house, file))
  return { code: status, said: `${stdout}${stderr}` }
}
