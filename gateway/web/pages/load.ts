import { backoffMs } from '../../../shared/protocol/backoff.ts'

/** An answer of the API: its content, or the status of a final refusal. */
export type Loaded<Content> = { readonly ok: true; readonly content: Content } | { readonly ok: false; readonly status: number }

const TIMEOUT_MS = 10_000

/** Reads from the API until it answers. During an outage or an overload it tries ever more slowly and calls `onRetry`. */
export async function load<Content>(
  path: string,
  onRetry: () => void,
  headers: Readonly<Record<string, string>> = {},
): Promise<Loaded<Content>> {
  for (let attempt = 0; ; attempt++) {
    const response = await fetch(path, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) }).catch(() => undefined)
    if (response?.ok) {
      const content: Content = await response.json()
      return { ok: true, content }
    }
    if (response && response.status < 500 && response.status !== 429) return { ok: false, status: response.status }
    onRetry()
    await new Promise((resolve) => setTimeout(resolve, 250 + backoffMs(attempt, Math.random)))
  }
}
