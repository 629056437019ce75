/** TLS to Postgres, with an authority of one's own. */
import assert from 'node:assert/strict'
import { chown, copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connectPostgres } from '../../backend/database/postgres.ts'
import { DatabaseUnavailable } from '../../backend/database/errors.ts'
import { makeCertificate } from '../support/certificate.ts'
import { createTestLog } from '../support/databases-under-test.ts'
import { startPostgres } from '../support/postgres-service.ts'
import { unprivilegedUser } from '../support/unprivileged-user.ts'

test('sslmode=verify-full: every connection is encrypted, and a server that cannot prove its name is not talked to', async (t) => {
  await using certificate = await makeCertificate()
  await using stranger = await makeCertificate()
  const directory = await mkdtemp(join(tmpdir(), 'livetally-postgres-tls-'))
  t.after(() => rm(directory, { recursive: true }))
  // Postgres wants its key to be its own
  const user = unprivilegedUser()
  const copies = [certificate.certificateFile, certificate.keyFile].map(
    (file) => [file, join(directory, file.endsWith('key.pem') ? 'key.pem' : 'certificate.pem')] as const,
  )
  for (const [from, to] of copies) await copyFile(from, to)
  for (const path of user === undefined ? [] : [directory, ...copies.map(([, to]) => to)])
    await chown(path, user?.uid ?? 0, user?.gid ?? 0)
  await using postgres = await startPostgres({
    settings: {
      ssl: 'on',
      ssl_cert_file: join(directory, 'certificate.pem'),
      ssl_key_file: join(directory, 'key.pem'),
      listen_addresses: '127.0.0.1,127.0.0.2',
    },
  })
  const log = createTestLog()
  const urlOf = (host: string, parameters: string) => `${postgres.url.replace('127.0.0.1', host)}?${parameters}`
  const trusting = `sslmode=verify-full&sslrootcert=${certificate.certificateFile}`

  const database = await connectPostgres({ url: urlOf('localhost', trusting), log })
  const session = await database.openSession({ label: 'its own' })
  await database.query({ text: 'SELECT 1' })
  const connections = await database.query<{ ssl: boolean }>({
    text: "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'livetally%'",
  })
  assert.deepEqual(connections, [{ ssl: true }, { ssl: true }])
  await session.close()
  await database.close()

  for (const [url, reason] of [
    [urlOf('localhost', `sslmode=verify-full&sslrootcert=${stranger.certificateFile}`), /self-signed certificate/],
    [urlOf('localhost', 'sslmode=verify-full'), /self-signed certificate/],
    [urlOf('127.0.0.2', trusting), /does not match certificate/],
  ] as const) {
    await assert.rejects(connectPostgres({ url, log }), (error) => {
      assert.ok(error instanceof DatabaseUnavailable)
      assert.match(error.message, reason)
      return true
    })
  }
})
