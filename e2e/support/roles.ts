import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { ask } from './postgres-standby.ts'

const FILE = fileURLToPath(new URL('../../infra/postgres/roles.sql', import.meta.url))

/** The two roles of `infra/postgres/roles.sql`, under names of their own. */
export interface Roles {
  readonly owner: string
  readonly app: string
  /** The same database, as the role that owns the tables, and as the one that reads and writes rows. */
  readonly ownerUrl: string
  readonly appUrl: string
  /** Removes the roles; to be called once their database is gone. */
  drop(): Promise<void>
}

/** Makes the roles, with rights in the database that `url` leads to. Undefined where the role in `url` may not: it is no superuser. */
export async function makeRoles(url: string): Promise<Roles | undefined> {
  const [self] = await ask<{ may: boolean }>(url, 'SELECT rolsuper AS may FROM pg_roles WHERE rolname = current_user')
  if (self?.may !== true) return undefined
  const [suffix, password] = [randomBytes(4).toString('hex'), randomBytes(12).toString('hex')]
  const [owner, app] = [`livetally_owner_${suffix}`, `livetally_app_${suffix}`]
  const shipped = await readFile(FILE, 'utf8')
  const passwords = [owner, app].map((role) => `ALTER ROLE ${role} PASSWORD '${password}'`).join(';')
  await ask(url, `${shipped.replaceAll('livetally_owner', owner).replaceAll('livetally_app', app)};${passwords}`)
  const as = (role: string) => {
    const own = new URL(url)
    own.username = role
    own.password = password
    return own.href
  }
  const elsewhere = new URL(url)
  elsewhere.pathname = '/postgres'
  const drop = async () => void (await ask(elsewhere.href, `DROP ROLE IF EXISTS ${app}, ${owner}`))
  return { owner, app, ownerUrl: as(owner), appUrl: as(app), drop }
}
