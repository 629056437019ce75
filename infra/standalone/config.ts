/** The standalone process's environment and arguments. */
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { MIN_SECRET_LENGTH, previousSecretVariables } from '../../backend/config.ts'
import { edgeConfig, edgeVariables } from '../../gateway/config.ts'
import { bearerToken, integer, port, secretText, text, type Variable } from '../../shared/config/env.ts'
import { loadVariables, type Host } from '../../shared/config/load.ts'
import { hostVariable, logLevelVariable } from '../../shared/config/service-variables.ts'

export const standaloneVariables = {
  PORT: { schema: port, fallback: '8080', description: 'port to listen on' },
  HOST: { ...hostVariable, fallback: '127.0.0.1', description: 'address to listen on; :: lets phones in' },
  DATA_DIR: { schema: text, fallback: './data', description: 'where the embedded database lives' },
  ADMIN_TOKEN: {
    schema: bearerToken(MIN_SECRET_LENGTH),
    optional: true,
    description: 'made up and kept in DATA_DIR when unset',
    secret: true,
  },
  COOKIE_SECRET: {
    schema: secretText(MIN_SECRET_LENGTH),
    optional: true,
    description: 'made up and kept in DATA_DIR when unset',
    secret: true,
  },
  ...previousSecretVariables,
  ...edgeVariables,
  LOG_LEVEL: { ...logLevelVariable, fallback: 'warn' },
} satisfies Record<string, Variable<unknown>>

const USAGE = `Livetally in one process, with an embedded database: npm start [-- --simulate VOTERS]

  --simulate VOTERS   that many pretend voters vote and change their minds in the first poll`

/** How many voters are simulated at most. */
const MAX_SIMULATED = 10_000

export type StandaloneConfig = ReturnType<typeof loadStandaloneConfig>

export function loadStandaloneConfig(host: Host) {
  const env = loadVariables(host, USAGE, standaloneVariables)
  const dataDir = env.DATA_DIR
  const secret = (name: string, given: string | undefined) => given ?? keptSecret(dataDir, name)
  return Object.freeze({
    port: env.PORT,
    host: env.HOST,
    dataDir,
    adminTokens: () => [secret('admin-token', env.ADMIN_TOKEN), ...env.ADMIN_TOKEN_PREVIOUS],
    adminTokenFile: env.ADMIN_TOKEN === undefined ? join(dataDir, 'admin-token') : undefined,
    cookieSecret: () => secret('cookie-secret', env.COOKIE_SECRET),
    previousCookieSecrets: env.COOKIE_SECRET_PREVIOUS,
    edge: edgeConfig(env),
    logLevel: env.LOG_LEVEL,
    simulatedVoters: simulatedVoters(host),
  })
}

function simulatedVoters(host: Host): number {
  const refuse = (message: string) => {
    host.stderr.write(`${message}\nRun with --help for usage.\n`)
    return host.exit(2)
  }
  try {
    const { values } = parseArgs({ args: host.argv.slice(2), options: { simulate: { type: 'string' } } })
    const count = integer(1, MAX_SIMULATED).safeParse(values.simulate ?? '1')
    if (!count.success) return refuse(`--simulate ${count.error.issues[0]?.message}, not ${JSON.stringify(values.simulate)}`)
    return values.simulate === undefined ? 0 : count.data
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

/** Reads a secret that no variable sets from the data directory, where it is made up once and readable by its owner only. */
function keptSecret(dataDir: string, name: string): string {
  const path = join(dataDir, name)
  if (!existsSync(path)) {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    writeFileSync(path, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 })
  }
  chmodSync(path, 0o600)
  return readFileSync(path, 'utf8').trimEnd()
}
