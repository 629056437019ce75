/** Structured logs: JSON lines on standard output, readable ones in a terminal. */
import { pino } from 'pino'

/** The log as the services and `shared/` use it: fields, and one sentence. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(bindings: Record<string, unknown>): Log
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export interface LogOptions {
  /** The name of the service, which every line has. */
  readonly service: string
  readonly level: LogLevel
  /** Whether standard output is a terminal. */
  readonly terminal: boolean
}

/** Fields that are never written, even where code logs a whole request by mistake. */
const REDACTED = [
  'authorization',
  'cookie',
  '*.authorization',
  '*.cookie',
  '*.headers.authorization',
  '*.headers.cookie',
  'voter',
  'ticket',
  'token',
]

export async function createLog(options: LogOptions): Promise<Log> {
  const settings = {
    level: options.level,
    base: { service: options.service },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: REDACTED,
  }
  // pino-pretty is a development dependency; without it a terminal gets JSON too
  const pretty = options.terminal ? await import('pino-pretty').catch(() => undefined) : undefined
  const log: Log =
    pretty === undefined
      ? // synchronous, so that every line is written before the process ends
        pino(settings, pino.destination({ dest: 1, sync: true }))
      : pino(settings, pretty.default({ ignore: 'pid,hostname,service', translateTime: 'SYS:HH:MM:ss', sync: true }))
  return log
}
