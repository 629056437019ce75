import { backoffMs } from '../../../shared/protocol/backoff.ts'
import { apiAnswerOf, crowdedForS } from '../model/api-answer.ts'

/** An answer of the API: its content, or the status of a final refusal. */
export type Loaded<Content> = { readonly ok: true; readonly content: Content } | { readonly ok: false; readonly status: number }

const TIMEOUT_MS = 10_000

/** Reads from the API until it answers, and not something before it. Until then it tries ever more slowly and calls `onRetry`. */
export async function load<Content>(
  path: string,
  onRetry: () => void,
  headers: Readonly<Record<string, string>> = {},
): Promise<Loaded<Content>> {
  for (let attempt = 0; ; attempt++) {
    const response = await fetch(path, { headers, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) }).catch(
      () => undefined,
    )
    const answer = response && (await apiAnswerOf(response))
    // the API promises what its content is
    if (answer?.isOk) return { ok: true, content: answer.content as Content }
    if (answer) return { ok: false, status: answer.status }
    onRetry()
    const waitMs = response === undefined ? 0 : crowdedForS(response) * 1_000
    await new Promise((resolve) => setTimeout(resolve, waitMs + 250 + backoffMs(attempt, Math.random)))
  }
}
