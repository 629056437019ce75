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

/** Ends the holding of a process's signals, and returns those that came meanwhile. */
const releases = new WeakMap<SignalSource, () => readonly string[]>()

/**
 * Holds the signals of a process until `listenForShutdown` takes them over. A program calls this before anything else, since a
 * signal that nobody listens for ends the process at once.
 */
export function holdSignals(source: SignalSource): void {
  const held: string[] = []
  const holders = SIGNALS.map((signal) => [signal, () => void held.push(signal)] as const)
  for (const [signal, hold] of holders) source.on(signal, hold)
  releases.set(source, () => {
    for (const [signal, hold] of holders) source.off(signal, hold)
    return held
  })
}

/**
 * Calls `onRequest` for the first signal or fault; a signal that was held counts. A second signal makes the process exit at once
 * with 1. Faults after the first request go to `onLateFault`, since the process is shutting down anyway. Returns the function that
 * removes all listeners.
 */
export function listenForShutdown(
  source: SignalSource,
  onRequest: (request: ShutdownRequest) => void,
  onLateFault: (error: unknown) => void,
): () => void {
  let requested = false
  const onSignal = (signal: string) => {
    if (requested) source.exit(1)
    requested = true
    onRequest({ kind: 'signal', signal })
  }
  const listeners: [event: string, listener: (value: unknown) => void][] = [
    ...SIGNALS.map((signal): [string, () => void] => [signal, () => onSignal(signal)]),
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
  // only now, so that somebody listens at every moment
  for (const signal of releases.get(source)?.() ?? []) onSignal(signal)
  return () => {
    for (const [event, listener] of listeners) source.off(event, listener)
  }
}
