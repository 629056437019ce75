import { randomBytes } from 'node:crypto'
import { Client } from 'pg'
import { testUrl } from './test-url.ts'

export interface TestDatabase {
  /** Connects as the owner of a database that nothing else uses. */
  readonly url: string
  /** Ends connections that are still open and removes the database. May be called twice. */
  drop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** An empty database of its own on the test run's Postgres. Throws when the test was started without the runner. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const adminUrl = testUrl('TEST_DATABASE_URL')
  const name = `livetally_test_${randomBytes(6).toString('hex')}`
  // template0, since nobody can connect to it, and a connection would hold up the copy
  await statement(adminUrl, `CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8'`)
  const url = new URL(adminUrl)
  url.pathname = `/${name}`
  const drop = () => statement(adminUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
  return { url: url.href, drop, [Symbol.asyncDispose]: drop }
}

async function statement(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}
