/**
 * Loads Drizzle's CommonJS build. Its ES modules would delay the start (bench/results/data.md, cold start), since Node reads and
 * parses Drizzle's large package.json for each of its many files.
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
/** The builders of tables and columns. */
export const pgCore = require('drizzle-orm/pg-core') as typeof tables
