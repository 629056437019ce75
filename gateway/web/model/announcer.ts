export interface AnnouncerOptions {
  readonly say: (text: string) => void
  /** Two announcements are at least this far apart, unless `urgent` changes: voices take longer than votes. */
  readonly intervalMs: number
  readonly signal: AbortSignal
  readonly now?: () => number
}

/** Passes on what is worth saying aloud, politely: never the same twice, never faster than the interval, the newest when it is time. */
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
