/** The answers to the organiser's requests. `signed-out`: the token is not valid, or no longer. */
export type Answer =
  | { readonly kind: 'ok'; readonly response: Response }
  /** The server refused; `detail` tells people why. */
  | { readonly kind: 'refused'; readonly detail: string }
  | { readonly kind: 'signed-out' }
  /** No answer of the API. */
  | { readonly kind: 'silent' }

/** What the API sends: polls, tickets and exports. */
const CONTENT = new Set(['application/json', 'text/csv'])

/**
 * Reads what the API says in a response; undefined where there is none. A page of a login, of a portal or of an error comes from what
 * lies before the API, and whether that has passed the request on is not known.
 */
export async function adminAnswerOf(response: Response | undefined): Promise<Answer> {
  if (response === undefined || response.status >= 500) return { kind: 'silent' }
  const type = response.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (response.ok) return response.status === 204 || CONTENT.has(type) ? { kind: 'ok', response } : { kind: 'silent' }
  const problem: unknown = type === 'application/problem+json' ? await response.json().catch(() => undefined) : undefined
  if (typeof problem !== 'object' || problem === null || !('detail' in problem)) return { kind: 'silent' }
  // the guard answers 400, not 401, to a token with characters that no header may hold
  return response.status === 401 ? { kind: 'signed-out' } : { kind: 'refused', detail: String(problem.detail) }
}
