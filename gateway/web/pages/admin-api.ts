import { adminAnswerOf, type Answer } from '../model/admin-answer.ts'

export type AdminApi = (method: string, path: string, body?: object) => Promise<Answer>

/** The time limit of a request, in ms; tickets and exports take long. */
const TIMEOUT_MS = 30_000

export function createAdminApi(token: string): AdminApi {
  return async (method, path, body) => {
    const response = await fetch(path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
      // the API never redirects: what does is a login or the like, which is not to be given the token
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
      cache: 'no-store',
    }).catch(() => undefined)
    return await adminAnswerOf(response)
  }
}
