/** The errors of the database, by what the caller can do about them. */

/** The database cannot be reached or opened; trying again may help. */
export class DatabaseUnavailable extends Error {
  override readonly name = 'DatabaseUnavailable'
}

/** Another process has the embedded database open; trying again will not help until it ends. */
export class DataDirectoryInUse extends Error {
  override readonly name = 'DataDirectoryInUse'
}

/** The SQLSTATE of a statement that writes, on a server that takes no writes (Postgres, appendix A). */
export const READ_ONLY = '25006'

/** The SQLSTATE of an error from the server, also when a query builder wrapped it; undefined for anything else. */
export function sqlState(error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('severity' in cause && 'code' in cause && typeof cause.code === 'string') return cause.code
  }
  return undefined
}

/**
 * Whether the connection must be given up: it broke, the server shuts down or takes no writes any more, or the answer to a query is still
 * outstanding (a client whose query timed out would give that answer to the next query). After any other error of the server it is usable.
 */
export function isConnectionFault(error: unknown): boolean {
  const state = sqlState(error)
  return state === undefined || state === READ_ONLY || state.startsWith('08') || state.startsWith('57P')
}

/** Whether pg stopped waiting for an answer or for the connection, so that no further query can be sent on it. */
export function isAnswerLost(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (/^(Query read timeout|Connection terminated|Client has encountered a connection error)/.test(cause.message)) return true
  }
  return false
}

/**
 * Whether the same statement may well succeed when tried again: lost connections, deadlocks, conflicts, timeouts, a server that is full or
 * takes no writes.
 */
export function isTransient(error: unknown): boolean {
  const state = sqlState(error)
  return state === undefined || /^(08|25006|40|53|57|55P03)/.test(state)
}

/** Whether no server takes writes at present, so that nothing was written. */
export function isWithoutPrimary(error: unknown): boolean {
  return error instanceof DatabaseUnavailable || sqlState(error) === READ_ONLY
}

/** Whether the server has said that it undid the statement. An answer that was lost says nothing. */
export function isUndone(error: unknown): boolean {
  return error instanceof DatabaseUnavailable || (sqlState(error) !== undefined && !/^(08|57P|40003)/.test(sqlState(error) ?? ''))
}

/** Whether the statement failed on its data, so that it will fail again with the same data. */
export function isDataFault(error: unknown): boolean {
  return /^(22|23|P0001)/.test(sqlState(error) ?? '')
}
