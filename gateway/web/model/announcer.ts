export interface AnnouncerOptions {
  readonly say: (text: string) => void
  /** Two announcements are at least this far apart, unless `urgent` changes, since speaking takes longer than voting. */
  readonly intervalMs: number
  readonly signal: AbortSignal
  readonly now?: () => number
}

/** Passes on texts for screen readers: never the same twice in a row, never faster than the interval, and then the newest. */
export function createAnnouncer(options: AnnouncerOptions): (text: string, urgent: string) => void {
  const { say, intervalMs, signal, now = Date.now } = options
  let said = ''
  let saidAt = -Infinity
  let next = ''
  let lastUrgent: string | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  signal.addEventListener('abort', () => clearTimeout(timer))

  const speak = () => {
    clearTimeout(timer)
    timer = undefined
    if (next === said) return
    said = next
    saidAt = now()
    say(next)
  }
  return (text, urgent) => {
    next = text
    const isUrgent = urgent !== lastUrgent
    lastUrgent = urgent
    const waitMs = saidAt + intervalMs - now()
    if (isUrgent || waitMs <= 0) speak()
    else timer ??= setTimeout(speak, waitMs)
  }
}
