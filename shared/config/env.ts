/** Configuration from the environment alone: every bad variable reported at once, every secret also readable from a file. */
import { readFileSync } from 'node:fs'
import { z } from 'zod'

/** One environment variable: how its text becomes a value, and the sentence `--help` prints about it. */
export interface Variable<T> {
  /** Turns the text into the value, or says what is wrong with it. */
  readonly schema: z.ZodType<T, string>
  readonly description: string
  /** The text assumed when the variable is unset; without one it is required, unless `optional`. */
  readonly fallback?: string
  readonly optional?: boolean
  /** May be given as `NAME_FILE`, the path of a file whose content is the value; never printed. */
  readonly secret?: boolean
}

export type Variables = Readonly<Record<string, Variable<unknown>>>

/** The values of a set of variables, by name. */
export type Values<V extends Variables> = { readonly [Name in keyof V]: V[Name] extends Variable<infer T> ? T : never }

export type Environment = Readonly<Record<string, string | undefined>>

/** Thrown by {@link readEnv}; `problems` has one line for each variable that is missing or wrong. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(`the configuration is wrong:\n${problems.map((problem) => `  ${problem}`).join('\n')}`)
    this.problems = problems
  }
}

/**
 * Reads and checks all variables; an empty one counts as unset.
 *
 * @throws {ConfigError} naming every bad variable. Values of secrets are never part of the message.
 */
export function readEnv<V extends Variables>(variables: V, env: Environment): Values<V> {
  const problems: string[] = []
  const values: Record<string, unknown> = {}
  for (const [name, variable] of Object.entries(variables)) {
    const text = rawText(name, variable, env, problems)
    if (text === undefined) continue
    const parsed = variable.schema.safeParse(text)
    if (parsed.success) values[name] = parsed.data
    else problems.push(`${name} ${complaint(parsed.error)}${variable.secret ? '' : `, not ${JSON.stringify(text)}`}`)
  }
  if (problems.length > 0) throw new ConfigError(problems)
  // every name of `variables` has been read, or the line above has thrown
  return values as Values<V>
}

function rawText(name: string, variable: Variable<unknown>, env: Environment, problems: string[]): string | undefined {
  const direct = env[name] || undefined
  const file = (variable.secret && env[`${name}_FILE`]) || undefined
  if (direct !== undefined && file !== undefined) {
    problems.push(`${name} and ${name}_FILE are both set: keep one`)
    return undefined
  }
  if (file !== undefined) {
    try {
      return readFileSync(file, 'utf8').trimEnd()
    } catch (error) {
      problems.push(`${name}_FILE cannot be read: ${error instanceof Error ? error.message : String(error)}`)
      return undefined
    }
  }
  if (direct === undefined && variable.fallback === undefined && !variable.optional) {
    problems.push(`${name} is required: ${variable.description}`)
  }
  return direct ?? variable.fallback
}

function complaint(error: z.ZodError): string {
  return error.issues.map((issue) => issue.message).join(' and ')
}

/** The table that `--help` prints: name, default, meaning. */
export function describeVariables(variables: Variables): string {
  const rows = Object.entries(variables).map(([name, variable]) => {
    const fallback = variable.fallback ?? (variable.optional ? '' : 'required')
    return [variable.secret ? `${name}[_FILE]` : name, fallback, variable.description] as const
  })
  const width = (column: 0 | 1) => Math.max(...rows.map((row) => row[column].length))
  const [nameWidth, fallbackWidth] = [width(0), width(1)]
  return rows
    .map(([name, fallback, text]) => `  ${name.padEnd(nameWidth)}  ${fallback.padEnd(fallbackWidth)}  ${text}`)
    .join('\n')
}

/** A whole number within bounds, both included. */
export function integer(min: number, max: number): z.ZodType<number, string> {
  const message = `must be a whole number from ${min} to ${max}`
  return z
    .string()
    .regex(/^\d{1,15}$/, message)
    .transform(Number)
    .refine((value) => value >= min && value <= max, message)
}

/** A TCP port; 0 lets the system choose one. */
export const port = integer(0, 65_535)

/** A duration in milliseconds, up to an hour. */
export const durationMs = integer(0, 3_600_000)

export const text = z.string()

/** A secret of at least so many characters. */
export function secretText(minLength: number): z.ZodType<string, string> {
  return z.string().min(minLength, `must have at least ${minLength} characters`)
}

/** A secret that is sent as a bearer token, and so has no other characters than one may have (RFC 6750 §2.1). */
export function bearerToken(minLength: number): z.ZodType<string, string> {
  const message = 'must have no characters but letters, digits and -._~+/, and = only at its end'
  return z
    .string()
    .min(minLength, `must have at least ${minLength} characters`)
    .regex(/^[\w.~+/-]+=*$/, message)
}

/** A URL of one of the schemes, such as `redis:`. */
export function url(...schemes: readonly string[]): z.ZodType<string, string> {
  const message = `must be a URL that starts with ${schemes.map((scheme) => `${scheme}//`).join(' or ')}`
  return z.string().refine((value) => URL.canParse(value) && schemes.includes(new URL(value).protocol), message)
}

/** Items with commas between them, each checked by `item`; white space around them is dropped. */
export function list<T>(item: z.ZodType<T, string>, separator = ','): z.ZodType<T[], string> {
  return z
    .string()
    .transform((value) =>
      value
        .split(separator)
        .map((part) => part.trim())
        .filter((part) => part !== ''),
    )
    .pipe(z.array(item))
}

/** Items in lines of their own, each checked by `item`, for those that may contain a comma; white space around them is dropped. */
export function lines<T>(item: z.ZodType<T, string>): z.ZodType<T[], string> {
  return list(item, '\n')
}

/** One of a few words. */
export function oneOf<const T extends string>(...words: readonly T[]): z.ZodType<T, string> {
  return z.string().refine((value): value is T => (words as readonly string[]).includes(value), {
    message: `must be one of ${words.join(', ')}`,
  })
}
