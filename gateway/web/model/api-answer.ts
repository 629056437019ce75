/** What the API says to a request. `problem` is the last part of the problem's type, `title` what it says to people. */
export type ApiAnswer =
  | { readonly isOk: true; readonly content: object }
  | {
      readonly isOk: false
      readonly status: number
      readonly problem: string
      readonly title: string
      /** Of the ballot that stands, where the problem tells it. */
      readonly order?: number
    }

/** No server makes anybody wait for longer, in s. */
const MAX_RETRY_AFTER_S = 60

/** For how long, in s, a server that hears too much from this address wants to hear nothing more; 0 where it does not say so. */
export function crowdedForS({ status, headers }: Response): number {
  const seconds = Number(headers.get('retry-after'))
  return status === 429 && seconds > 0 ? Math.min(seconds, MAX_RETRY_AFTER_S) : 0
}

/**
 * Reads what the API says in a response; undefined where it says nothing final. A page of an error, a login page, an empty body or one
 * that is cut comes from what lies before the API, and an overload or a fault passes: either way the request may be repeated.
 */
export async function apiAnswerOf(response: Response): Promise<ApiAnswer | undefined> {
  const { ok: isOk, status } = response
  const content: unknown = await response.json().catch(() => undefined)
  if (typeof content !== 'object' || content === null) return undefined
  if (isOk) return { isOk, content }
  if (status >= 500 || status === 429 || status === 408) return undefined
  const { type, title, order } = content as { readonly [field: string]: unknown }
  if (typeof type !== 'string' || !type.startsWith('/problems/')) return undefined
  const known = typeof order === 'number' ? { order } : {}
  return { isOk, status, problem: type.slice('/problems/'.length), title: String(title), ...known }
}
