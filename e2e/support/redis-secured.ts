/** What makes Redis servers of the tests speak TLS alone and know two users: `livetally` with the shipped rights, and `admin`. */
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chmod } from 'node:fs/promises'
import { makeCertificate } from './certificate.ts'

export interface RedisSecurity {
  /** The certificate to trust, as text and as the path of its file. */
  readonly ca: string
  readonly caFile: string
  /** For a server that listens at the port. */
  args(port: number): readonly string[]
  /** The same for a Sentinel, and for how it logs in at the servers. */
  sentinelSettings(port: number): readonly string[]
  [Symbol.asyncDispose](): Promise<void>
}

/** The passwords of the two users. */
export const LIVETALLY_LOGIN = 'livetally:a-pass%2Fword'
const PASSWORD = 'a-pass/word'
export const ADMIN = { username: 'admin', password: 'admin-password' }

export async function secureRedis(): Promise<RedisSecurity> {
  const certificate = await makeCertificate()
  const shipped = await readFile(fileURLToPath(new URL('../../infra/redis/users.acl', import.meta.url)), 'utf8')
  const users = shipped.replaceAll('CHANGE-ME', PASSWORD)
  const directory = dirname(certificate.bundleFile)
  const acl = join(directory, 'users.acl')
  await writeFile(acl, `${users}user ${ADMIN.username} on >${ADMIN.password} ~* &* +@all\n`)
  // the servers run as another user
  await chmod(directory, 0o755)
  await chmod(certificate.keyFile, 0o644)
  const tls: readonly (readonly [string, string])[] = [
    ['port', '0'],
    ['tls-cert-file', certificate.certificateFile],
    ['tls-key-file', certificate.keyFile],
    ['tls-ca-cert-file', certificate.certificateFile],
    ['tls-auth-clients', 'no'],
    ['tls-replication', 'yes'],
  ]
  return {
    ca: certificate.ca,
    caFile: certificate.certificateFile,
    args: (port) => [
      ...tls
        .concat([
          ['tls-port', String(port)],
          ['tls-cluster', 'yes'],
          ['aclfile', acl],
        ])
        .flatMap(([name, value]) => [`--${name}`, value]),
      '--masteruser',
      ADMIN.username,
      '--masterauth',
      ADMIN.password,
    ],
    sentinelSettings: (port) => [...tls, ['tls-port', String(port)]].map((setting) => setting.join(' ')),
    [Symbol.asyncDispose]: () => certificate[Symbol.asyncDispose](),
  }
}
