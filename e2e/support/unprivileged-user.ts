import { readFileSync } from 'node:fs'

export interface User {
  readonly uid: number
  readonly gid: number
}

const CANDIDATES = ['postgres', 'nobody']

/** The user to run servers as: another one only if this process is root, since Postgres does not run as root. */
export function unprivilegedUser(): User | undefined {
  if (process.getuid?.() !== 0) return undefined
  const users = new Map(
    readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .map(([name, , uid, gid]) => [name, { uid: Number(uid), gid: Number(gid) }]),
  )
  for (const name of CANDIDATES) {
    const user = users.get(name)
    if (user !== undefined) return user
  }
  throw new Error(`Postgres refuses to run as root, and this machine has none of the users ${CANDIDATES.join(', ')}`)
}
