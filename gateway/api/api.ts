/** The API as the edge sees it: in backends behind it, or in the same process. */
import type { BundledAnswer, BundledVote } from '../../shared/protocol/vote-bundle.ts'

/** A request as plain values: building a web `Request` for each call costs too much (docs/adr/0008). */
export interface ApiRequest {
  readonly method: string
  /** Path and query. */
  readonly target: string
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array<ArrayBuffer>
  /** Whether the sender of a read is still there. One that waits for its turn is dropped when it comes and the sender has gone. */
  readonly isAwaited?: () => boolean
  /** Whether a read waits for no other: the gateway's own, on which sockets wait. */
  readonly isAheadOfLine?: boolean
}

export interface Api {
  /** Answers any request. Rejects only on a fault of this process. */
  fetch(request: ApiRequest): Promise<Response>
  /**
   * Casts votes. Resolves, once their ballots are committed, to the answers in the order of the votes. Rejects only on a fault of
   * this process.
   */
  castVotes(votes: readonly BundledVote[]): Promise<readonly BundledAnswer[]>
}

/** Turns the web's handler of an API in the same process into the `fetch` of an `Api`. */
export function fetchInProcess(handle: (request: Request) => Promise<Response>): Api['fetch'] {
  return async ({ method, target, headers, body }) => {
    const content = body === undefined || body.length === 0 ? {} : { body }
    return await handle(new Request(new URL(target, 'http://backend'), { method, headers, ...content }))
  }
}
