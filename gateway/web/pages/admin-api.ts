/** The answers to the organiser's requests. `signed-out`: the token is not valid, or no longer. */
export type Answer =
  | { readonly kind: 'ok'; readonly response: Response }
  /** The server refused; `detail` tells people why. */
  | { readonly kind: 'refused'; readonly detail: string }
  | { readonly kind: 'signed-out' }
  /** No answer. */
  | { readonly kind: 'silent' }

export type AdminApi = (method: string, path: string, body?: object) => Promise<Answer>

/** The time limit of a request, in ms; tickets and exports take long. */
const TIMEOUT_MS = 30_000

export function createAdminApi(token: string): AdminApi {
  return async (method, path, body) => {
    const response = await fetch(path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
      cache: 'no-store',
    }).catch(() => undefined)
    if (response === undefined || response.status >= 500) return { kind: 'silent' }
    if (response.ok) return { kind: 'ok', response }
    // the guard answers 400, not 401, to a token with characters that no header may hold
    if (response.status === 401) return { kind: 'signed-out' }
    return { kind: 'refused', detail: await detailOf(response) }
  }
}

async function detailOf(response: Response): Promise<string> {
  const problem: unknown = await response.json().catch(() => undefined)
  const isProblem = typeof problem === 'object' && problem !== null && 'detail' in problem
  return isProblem ? String(problem.detail) : `${response.status} ${response.statusText}`
}
