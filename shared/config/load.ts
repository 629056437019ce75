/** Reads the configuration of an entry point: answers `--help`, returns the values, or reports what is wrong and exits. */
import { ConfigError, describeVariables, readEnv, type Environment, type Values, type Variables } from './env.ts'

/** The part of `process` this needs. */
export interface Host {
  readonly argv: readonly string[]
  readonly env: Environment
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown }
  exit(code: number): never
}

/** Exit code of a process whose configuration is wrong. */
export const CONFIG_EXIT_CODE = 2

/**
 * Returns the values; on `--help` prints the variables and exits 0, on a wrong configuration names every bad one and exits 2. `check`
 * says, a line each, what is wrong with values that are right by themselves and do not go together.
 */
export function loadVariables<V extends Variables>(
  host: Host,
  usage: string,
  variables: V,
  check: (values: Values<V>) => readonly string[] = () => [],
): Values<V> {
  if (host.argv.includes('--help')) {
    host.stdout.write(`${usage}\n\nEnvironment:\n${describeVariables(variables)}\n`)
    return host.exit(0)
  }
  try {
    const values = readEnv(variables, host.env)
    const problems = check(values)
    if (problems.length > 0) throw new ConfigError(problems)
    return values
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    host.stderr.write(`${error.message}\nRun with --help for all variables.\n`)
    return host.exit(CONFIG_EXIT_CODE)
  }
}
