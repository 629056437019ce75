/** The API as the edge sees it: somewhere behind, or in the same process. */

/** Plain values: building the web's Request for each vote would cost more than the rest of its way through here. */
export interface ApiRequest {
  readonly method: string
  /** Path and query. */
  readonly target: string
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array<ArrayBuffer>
}

/** Answers a request; rejects only by a fault of its own. */
export type Api = (request: ApiRequest) => Promise<Response>

/** An API in the same process. */
export function apiOf(fetch: (request: Request) => Response | Promise<Response>): Api {
  return async ({ method, target, headers, body }) => {
    const content = body === undefined || body.length === 0 ? {} : { body }
    return await fetch(new Request(new URL(target, 'http://backend'), { method, headers, ...content }))
  }
}
