/** Listens for what asks a process to shut down: an operator's signal, or a fault that was not caught. */

export type ShutdownRequest =
  | { readonly kind: 'signal'; readonly signal: string }
  | { readonly kind: 'fault'; readonly error: unknown }

/** The part of `process` this needs. */
export interface SignalSource {
  on(event: string, listener: (value: unknown) => void): unknown
  off(event: string, listener: (value: unknown) => void): unknown
  exit(code: number): never
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const
const FAULTS = ['uncaughtException', 'unhandledRejection'] as const

/**
 * Calls `onRequest` for the first signal or fault. A second signal makes the process exit at once with 1. Faults after the first
 * request go to `onLateFault`, since the process is shutting down anyway. Returns the function that removes all listeners.
 */
export function listenForShutdown(
  source: SignalSource,
  onRequest: (request: ShutdownRequest) => void,
  onLateFault: (error: unknown) => void,
): () => void {
  let requested = false
  const listeners: [event: string, listener: (value: unknown) => void][] = [
    ...SIGNALS.map((signal): [string, () => void] => [
      signal,
      () => {
        if (requested) source.exit(1)
        requested = true
        onRequest({ kind: 'signal', signal })
      },
    ]),
    ...FAULTS.map((fault): [string, (error: unknown) => void] => [
      fault,
      (error) => {
        if (requested) return onLateFault(error)
        requested = true
        onRequest({ kind: 'fault', error })
      },
    ]),
  ]
  for (const [event, listener] of listeners) source.on(event, listener)
  return () => {
    for (const [event, listener] of listeners) source.off(event, listener)
  }
}
