/** The log as the rooms of `shared/` and the services see it. */

/** Takes structured fields and one sentence; a pino logger is one. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(bindings: object): Log
}
