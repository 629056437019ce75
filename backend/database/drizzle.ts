/**
 * Drizzle, as the CommonJS it also comes as. To load it as ES modules takes 350 ms instead of 50: for each of its 300 files Node
 * looks into its package.json, and parses all 180 kB of it every time.
 */
import { createRequire } from 'node:module'
import type * as core from 'drizzle-orm'
import type * as driver from 'drizzle-orm/node-postgres'
import type * as migrator from 'drizzle-orm/node-postgres/migrator'
import type * as tables from 'drizzle-orm/pg-core'

export type { NodePgDatabase } from 'drizzle-orm/node-postgres'

const require = createRequire(import.meta.url)

export const { asc, eq, sql } = require('drizzle-orm') as typeof core
export const { drizzle } = require('drizzle-orm/node-postgres') as typeof driver
export const { migrate } = require('drizzle-orm/node-postgres/migrator') as typeof migrator
/** What tables are made of. */
export const pgCore = require('drizzle-orm/pg-core') as typeof tables
