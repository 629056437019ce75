import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
let root: string

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'livetally-boundaries-'))
  await copyFile(join(ROOT, 'oxlint.config.ts'), join(root, 'oxlint.config.ts'))
})
after(() => rm(root, { recursive: true }))

const SERVICES = 'gateway and backend never import each other'
const SHARED = 'The folders of shared/ do not import each other'
const ONE_WAY = 'Imports between the folders of a service go one way'
const IMPORTERS = 'Few files import each package'
const PROCESS = 'Only main.ts touches process'
const PAGES = 'Pages import shared/protocol alone'

/** A file that must not import what it imports, and the words in which it is refused. */
const REFUSED: readonly (readonly [file: string, line: string, message: string])[] = [
  ['gateway/fanout/hub.ts', `import { schema } from '../../backend/database/schema.ts'`, SERVICES],
  ['gateway/fanout/hub.ts', `import type { Poll } from '../../backend/database/schema.ts'`, SERVICES],
  ['gateway/fanout/hub.ts', `export const schema = await import('../../backend/database/schema.ts')`, SERVICES],
  ['gateway/fanout/hub.ts', `export { schema } from '../../backend/database/schema.ts'`, SERVICES],
  ['gateway/main.ts', `import { schema } from '../backend/database/schema.ts'`, SERVICES],
  ['gateway/handshake/upgrade.ts', `import { schema } from '../../backend/database/schema.ts'`, SERVICES],
  ['gateway/fanout/hub.test.ts', `import { schema } from '../../backend/database/schema.ts'`, SERVICES],
  ['backend/http/app.ts', `import { hub } from '../../gateway/fanout/hub.ts'`, SERVICES],
  ['backend/database/database.ts', `import { hub } from '../../gateway/fanout/hub.ts'`, SERVICES],
  ['backend/http/app.test.ts', `import { hub } from '../../gateway/fanout/hub.ts'`, SERVICES],
  ['backend/http/app.ts', `import { cluster } from '../../e2e/support/cluster.ts'`, 'The services stand without e2e/'],

  ['gateway/http/app.ts', `import { hub } from '../fanout/hub.ts'`, ONE_WAY],
  ['gateway/http/app.ts', `import type { Hub } from '../fanout/hub.ts'`, ONE_WAY],
  ['gateway/http/app.ts', `import { upgrade } from '../handshake/upgrade.ts'`, ONE_WAY],
  ['gateway/handshake/upgrade.ts', `import { app } from '../http/app.ts'`, ONE_WAY],
  ['gateway/handshake/upgrade.ts', `import { api } from '../api/api.ts'`, ONE_WAY],
  ['gateway/fanout/hub.ts', `import { api } from '../api/api.ts'`, ONE_WAY],
  ['gateway/fanout/connection.ts', `import { limits } from '../access/connection-limits.ts'`, ONE_WAY],
  ['gateway/fanout/hub.ts', `import { config } from '../config.ts'`, ONE_WAY],
  ['gateway/api/backend-client.ts', `import { peer } from '../access/client-address.ts'`, ONE_WAY],
  ['gateway/access/client-address.ts', `import { api } from '../api/api.ts'`, ONE_WAY],
  ['gateway/access/client-address.ts', `import { hub } from '../fanout/hub.ts'`, ONE_WAY],

  ['backend/http/app.ts', `import { ingest } from '../ingest/ingest.ts'`, ONE_WAY],
  ['backend/http/app.ts', `import { open } from '../pglite/open.ts'`, ONE_WAY],
  ['backend/http/app.ts', `import { backend } from '../backend.ts'`, ONE_WAY],
  ['backend/ballots/ballot-box.ts', `import { tally } from '../tallies/tally.ts'`, ONE_WAY],
  ['backend/ballots/ballot-box.ts', `import type { App } from '../http/app.ts'`, ONE_WAY],
  ['backend/tallies/poller.ts', `import { box } from '../ballots/ballot-box.ts'`, ONE_WAY],
  ['backend/adopt/adopt.ts', `import { tally } from '../tallies/tally.ts'`, ONE_WAY],
  ['backend/polls/poll.ts', `import { tally } from '../tallies/tally.ts'`, ONE_WAY],
  ['backend/polls/poll-store.ts', `import { app } from '../http/app.ts'`, ONE_WAY],
  ['backend/database/pool.ts', `import { poll } from '../polls/poll.ts'`, ONE_WAY],
  ['backend/database/postgres.ts', `import { open } from '../pglite/open.ts'`, ONE_WAY],
  ['backend/pglite/open.ts', `import { poll } from '../polls/poll.ts'`, ONE_WAY],
  ['backend/ingest/ingest.ts', `import { tally } from '../tallies/tally.ts'`, ONE_WAY],
  ['backend/verify/verify.ts', `import { box } from '../ballots/ballot-box.ts'`, ONE_WAY],
  ['backend/verify/verify.ts', `import { open } from '../pglite/open.ts'`, ONE_WAY],

  ['gateway/web/page.ts', `import { hub } from '../fanout/hub.ts'`, PAGES],
  ['gateway/web/page.ts', `import { env } from '../../shared/config/env.ts'`, PAGES],
  ['gateway/web/client/client.ts', `import { env } from '../../../shared/config/env.ts'`, PAGES],
  ['gateway/web/client/client.ts', `import { hub } from '../../fanout/hub.ts'`, PAGES],
  [
    'gateway/web/client/client.ts',
    `import { Frame } from '../../../shared/protocol/frames.ts'`,
    'Pages import the types of the frames alone',
  ],
  ['gateway/web/page.ts', `import { z } from 'zod'`, 'Pages import no packages'],

  ['shared/config/env.ts', `import { phase } from '../lifecycle/phase.ts'`, SHARED],
  ['shared/config/env.ts', `import { order } from '../protocol/order.ts'`, SHARED],
  ['shared/bus/memory-bus.ts', `import { phase } from '../lifecycle/phase.ts'`, SHARED],
  ['shared/bus/redis-connection.ts', `import { phase } from '../lifecycle/phase.ts'`, SHARED],
  ['shared/config/env.ts', `import { hub } from '../../gateway/fanout/hub.ts'`, SHARED],
  ['shared/config/env.test.ts', `import { hub } from '../../gateway/fanout/hub.ts'`, SERVICES],
  [
    'shared/bus/memory-bus.ts',
    `import { createLog } from '../telemetry/log.ts'`,
    'no more of telemetry/ than the type of the log',
  ],

  ['shared/bus/memory-bus.ts', `import { Redis } from 'ioredis'`, IMPORTERS],
  ['gateway/fanout/tally-feed.ts', `import { Redis } from 'ioredis'`, IMPORTERS],
  ['gateway/fanout/hub.ts', `import { WebSocket } from 'ws'`, IMPORTERS],
  ['gateway/handshake/upgrade.ts', `import pRetry from 'p-retry'`, IMPORTERS],
  ['shared/lifecycle/drain.ts', `import pRetry from 'p-retry'`, IMPORTERS],
  ['backend/http/app.ts', `import { Pool } from 'pg'`, IMPORTERS],
  ['backend/polls/poll-store.ts', `import { Pool } from 'pg'`, IMPORTERS],
  ['backend/http/app.ts', `import { drizzle } from 'drizzle-orm/node-postgres'`, IMPORTERS],
  ['gateway/http/app.ts', `import { sql } from 'drizzle-orm'`, IMPORTERS],
  // drizzle.ts loads it faster
  ['backend/database/schema.ts', `import { sql } from 'drizzle-orm'`, IMPORTERS],
  ['backend/tallies/tally-reader.ts', `import { PGlite } from '@electric-sql/pglite'`, IMPORTERS],
  ['infra/standalone/main.ts', `import { PGlite } from '@electric-sql/pglite'`, IMPORTERS],
  ['shared/lifecycle/probes.ts', `import { Hono } from 'hono'`, IMPORTERS],
  ['shared/lifecycle/probes.ts', `import type { Context } from 'hono'`, IMPORTERS],
  ['gateway/http/app.ts', `import { Hono } from '@hono/zod-openapi'`, IMPORTERS],
  ['gateway/fanout/hub.ts', `import { Hono } from 'hono'`, IMPORTERS],
  ['gateway/http/app.ts', `import { Pool } from 'undici'`, IMPORTERS],
  ['gateway/http/app.ts', `import { pino } from 'pino'`, IMPORTERS],
  ['gateway/fanout/connection.ts', `import koffi from 'koffi'`, IMPORTERS],
  ['gateway/http/app.ts', `import { Counter } from '@prometheus-io/client'`, IMPORTERS],

  ['gateway/http/app.ts', `import process from 'node:process'`, PROCESS],
  ['shared/lifecycle/signals.ts', `import { exit } from 'process'`, PROCESS],
  ['backend/http/app.ts', `export const port = process.env.PORT`, PROCESS],
  ['shared/config/env.ts', `export const port = process.env.PORT`, PROCESS],

  ['shared/protocol/index.ts', `export * from './frames.ts'`, 'barrel'],
  ['backend/http/app.ts', '\n'.repeat(301), 'too many lines'],
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
  'gateway/fanout/hub.ts': `import type { Frame } from '../../shared/protocol/frames.ts'\nimport { Frame as schema } from '../../shared/protocol/frames.ts'\nimport { group } from './broadcast-group.ts'`,
  'gateway/handshake/upgrade.ts': `import { WebSocketServer } from 'ws'\nimport { hub } from '../fanout/hub.ts'\nimport { limits } from '../access/connection-limits.ts'`,
  'gateway/http/app.ts': `import { Hono } from 'hono'\nimport { api } from '../api/api.ts'\nimport { peer } from '../access/client-address.ts'`,
  'gateway/api/backend-client.ts': `import pRetry from 'p-retry'\nimport { Pool } from 'undici'`,
  'gateway/gateway.ts': `import { hub } from './fanout/hub.ts'\nimport { app } from './http/app.ts'`,
  'gateway/main.ts': `export const env = process.env`,
  'gateway/web/page.ts': `import { isNewer } from '../../shared/protocol/order.ts'\nimport { client } from './client/client.ts'`,
  'gateway/web/client/client.ts': `import type { Frame } from '../../../shared/protocol/frames.ts'\nimport { view } from '../view.ts'`,
  'backend/http/app.ts': `import { z } from '@hono/zod-openapi'\nimport { box } from '../ballots/ballot-box.ts'\nimport { tally } from '../tallies/tally.ts'\nimport { adopt } from '../adopt/adopt.ts'`,
  'backend/database/postgres.ts': `import { Pool } from 'pg'\nimport type { NodePgDatabase } from './drizzle.ts'`,
  'backend/database/drizzle.ts': `import type * as core from 'drizzle-orm'`,
  'backend/pglite/worker.ts': `import { PGlite } from '@electric-sql/pglite'`,
  'backend/verify/main.ts': `import { open } from '../pglite/open.ts'\nimport { tally } from '../tallies/tally.ts'`,
  'shared/bus/redis-connection.ts': `import { Redis } from 'ioredis'\nimport { isNewer } from '../protocol/order.ts'\nimport type { Log } from '../telemetry/log.ts'`,
  'shared/lifecycle/retry.ts': `import pRetry from 'p-retry'\nimport type { Log } from '../telemetry/log.ts'`,
  'shared/bus/tally-bus.test.ts': `import { Redis } from 'ioredis'\nimport { testRedis } from '../../e2e/support/test-redis.ts'`,
  'infra/standalone/main.ts': `import { createBackend } from '../../backend/backend.ts'\nimport { createGateway } from '../../gateway/gateway.ts'`,
  'e2e/cluster.test.ts': `import { Client } from 'pg'\nimport { hub } from '../gateway/fanout/hub.ts'\nimport { app } from '../backend/http/app.ts'`,
}

for (const [file, lines] of Object.entries(ACCEPTED)) {
  test(`${file} may import what it is for`, async () => {
    const { code, said } = await lint({ [file]: lines })
    assert.equal(code, 0, said)
  })
}

for (const [what, word] of [
  ['values', ''],
  ['types', 'type '],
] as const) {
  test(`files may not import ${what} from each other in a circle`, async () => {
    const { code, said } = await lint({
      'gateway/fanout/one.ts': `import ${word}{ Two } from './two.ts'\nexport class One { two?: Two }`,
      'gateway/fanout/two.ts': `import ${word}{ One } from './one.ts'\nexport class Two { one?: One }`,
    })
    assert.equal(code, 1, said)
    assert.match(said, /no-cycle/)
  })
}

/** Lints the files as the project's own would be, minus what is no boundary: that an import is used, for one. */
async function lint(files: Readonly<Record<string, string>>): Promise<{ code: number | null; said: string }> {
  for (const [file, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, file)), { recursive: true })
    await writeFile(join(root, file), `${content}\n`)
  }
  const linter = join(ROOT, 'node_modules/oxlint/bin/oxlint')
  const args = ['--deny-warnings', '--allow=no-unused-vars', '--format=json', ...Object.keys(files)]
  const { status, stdout, stderr } = spawnSync(process.execPath, [linter, ...args], { cwd: root, encoding: 'utf8' })
  for (const file of Object.keys(files)) await rm(join(root, file))
  return { code: status, said: `${stdout}${stderr}` }
}
