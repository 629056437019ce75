/** The API as the edge sees it: in backends behind it, or in the same process. */
import type { BundledAnswer, BundledVote } from '../../shared/protocol/vote-bundle.ts'

/** Plain values: building the web's Request for each call would cost more than the rest of its way through the edge. */
export interface ApiRequest {
  readonly method: string
  /** Path and query. */
  readonly target: string
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array<ArrayBuffer>
}

export interface Api {
  /** Answers a request of any kind; rejects only by a fault of its own. */
  fetch(request: ApiRequest): Promise<Response>
  /** Casts votes. The answer to each is at its index and given after its ballot was committed. Rejects only by a fault of its own. */
  castVotes(votes: readonly BundledVote[]): Promise<readonly BundledAnswer[]>
}

/** Turns the web's handler of an API in the same process into the `fetch` of an `Api`. */
export function fetchInProcess(handle: (request: Request) => Promise<Response>): Api['fetch'] {
  return async ({ method, target, headers, body }) => {
    const content = body === undefined || body.length === 0 ? {} : { body }
    return await handle(new Request(new URL(target, 'http://backend'), { method, headers, ...content }))
  }
}
