import { backoffMs, type BackoffOptions } from '../../../shared/protocol/backoff.ts'

/** What became of the last tap. */
export type BallotState =
  | { readonly kind: 'none' }
  /** On its way. `isRetry` when an earlier try got no answer. */
  | { readonly kind: 'sending'; readonly option: string; readonly isRetry: boolean }
  /** The server has committed it. */
  | { readonly kind: 'counted'; readonly option: string }
  /** The server will not have it. `problem` is the last part of the problem's type, `title` what it says to people. */
  | { readonly kind: 'refused'; readonly option: string; readonly problem: string; readonly title: string }

export interface BallotSenderOptions {
  /** Casts the ballot: resolves with the response, rejects when there is none. */
  readonly put: (option: string, signal: AbortSignal) => Promise<Response>
  readonly onChange: (state: BallotState) => void
  /** Stores the choice so that a reload keeps it; called with undefined once nothing waits. */
  readonly keep?: (option: string | undefined) => void
  readonly random?: () => number
  /** How long one try may take. */
  readonly timeoutMs?: number
}

export interface BallotSender {
  /** The latest choice wins; it is sent until the server has answered for good. */
  choose(option: string): void
  /** Tries again at once, if a try is due later. To be called when the network is back. */
  hurry(): void
}

const RETRY: BackoffOptions = { baseMs: 500, capMs: 8_000 }

/**
 * Sends a ballot until it is acknowledged. One request at a time: a choice made while another is under way is sent after it,
 * so an older one cannot overtake and stay.
 */
export function createBallotSender(options: BallotSenderOptions): BallotSender {
  const { put, onChange, keep, random = Math.random, timeoutMs = 8_000 } = options
  let wanted: string | undefined
  let isSending = false
  let wake: (() => void) | undefined

  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })

  /** One try: true when it is over for this option. */
  const attempt = async (option: string, isFirst: boolean): Promise<boolean> => {
    const response = await put(option, AbortSignal.timeout(timeoutMs)).catch(() => undefined)
    if (response === undefined || response.status >= 500 || response.status === 429 || response.status === 408) return false
    // The refusal set the voter's cookie, so the second try has one.
    if (response.status === 401 && isFirst) return await attempt(option, false)
    if (response.status === 401) return false
    if (option !== wanted) return true
    wanted = undefined
    keep?.(undefined)
    onChange(response.ok ? { kind: 'counted', option } : { kind: 'refused', option, ...(await problemOf(response)) })
    return true
  }

  const run = async () => {
    isSending = true
    let tries = 0
    while (wanted !== undefined) {
      const option = wanted
      onChange({ kind: 'sending', option, isRetry: tries > 0 })
      const isOver = await attempt(option, true)
      tries = isOver ? 0 : tries + 1
      if (isOver) continue
      onChange({ kind: 'sending', option: wanted, isRetry: true })
      await pause(backoffMs(tries, random, RETRY))
    }
    isSending = false
  }

  return {
    choose(option) {
      wanted = option
      keep?.(option)
      if (isSending) {
        onChange({ kind: 'sending', option, isRetry: false })
        wake?.()
      } else void run()
    },
    hurry: () => wake?.(),
  }
}

async function problemOf(response: Response): Promise<{ problem: string; title: string }> {
  const fallback = { problem: 'internal', title: response.statusText }
  try {
    const body: unknown = await response.json()
    if (typeof body !== 'object' || body === null || !('type' in body) || !('title' in body)) return fallback
    return { problem: String(body.type).split('/').at(-1) ?? '', title: String(body.title) }
  } catch {
    return fallback
  }
}
