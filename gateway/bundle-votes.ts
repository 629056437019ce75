/**
 * Votes that arrive in the same turn of the event loop share one request to a backend, as they share a transaction there. Nobody
 * waits for company: a vote that comes alone goes alone. When everybody votes at once, the hop between gateway and backend, the
 * dearest part of a vote's way, is paid for once instead of a hundred times.
 */
import { PollId } from '../shared/protocol/frames.ts'
import {
  BundledAnswers,
  MAX_VOTES_IN_BUNDLE,
  VOTE_BUNDLE_PATH,
  type BundledAnswer,
  type BundledVote,
} from '../shared/protocol/vote-bundle.ts'
import type { Api, ApiRequest } from './api.ts'

interface Waiting {
  readonly request: ApiRequest
  readonly vote: BundledVote
  resolve(answer: Response | Promise<Response>): void
  reject(error: unknown): void
}

const VOTE_TARGET = /^\/api\/polls\/([^/?]+)\/vote$/
/** What is larger than any vote of ours goes alone, so that a bundle stays small. */
const MAX_BODY_BYTES = 1_024
const MAX_COOKIE_LENGTH = 2_048

/** The same API; `defer` runs a function once the requests that are there have been read. */
export function bundleVotes(api: Api, defer: (run: () => void) => void = setImmediate): Api {
  let waiting: Waiting[] = []

  const send = () => {
    const bundle = waiting
    waiting = []
    const [first] = bundle
    if (first === undefined) return
    if (bundle.length === 1) return first.resolve(api(first.request))
    deliver(bundle).catch((error: unknown) => {
      for (const { reject } of bundle) reject(error)
    })
  }

  const deliver = async (bundle: readonly Waiting[]) => {
    const body = Buffer.from(JSON.stringify(bundle.map(({ vote }) => vote)))
    const answer = await api({ method: 'PUT', target: VOTE_BUNDLE_PATH, headers: { 'content-type': 'application/json' }, body })
    if (answer.ok) {
      const answers = BundledAnswers.parse(await answer.json())
      for (const [index, { vote, resolve }] of bundle.entries()) resolve(responseOf(answers[index], vote))
    } else if (answer.status === 404) {
      // a backend of an earlier version, in the middle of a deploy
      for (const { request, resolve } of bundle) resolve(api(request))
    } else {
      const { status, headers } = answer
      const text = await answer.text()
      for (const { resolve } of bundle) resolve(new Response(text, { status, headers }))
    }
  }

  return (request) => {
    const vote = voteOf(request)
    if (vote === undefined) return api(request)
    return new Promise((resolve, reject) => {
      if (waiting.length === 0) defer(send)
      waiting.push({ request, vote, resolve, reject })
      if (waiting.length === MAX_VOTES_IN_BUNDLE) send()
    })
  }
}

/** The request as a vote, if it is one that can share. Any other is the backend's to judge. */
function voteOf({ method, target, headers, body }: ApiRequest): BundledVote | undefined {
  if (method !== 'PUT' || body === undefined || body.length === 0 || body.length > MAX_BODY_BYTES) return undefined
  const poll = VOTE_TARGET.exec(target)?.[1]
  const { cookie, 'livetally-ticket': ticket } = headers
  if (poll === undefined || !PollId.safeParse(poll).success || !isJson(headers) || (cookie?.length ?? 0) > MAX_COOKIE_LENGTH) {
    return undefined
  }
  return {
    poll,
    body: Buffer.from(body.buffer, body.byteOffset, body.length).toString(),
    ...(cookie === undefined ? {} : { cookie }),
    ...(ticket === undefined ? {} : { ticket }),
    isSecure: headers['x-forwarded-proto'] === 'https',
    requestId: headers['x-request-id'] ?? '',
  }
}

function isJson(headers: ApiRequest['headers']): boolean {
  const type = headers['content-type']
  return type === 'application/json' || type?.split(';', 1)[0]?.trim().toLowerCase() === 'application/json'
}

function responseOf(answer: BundledAnswer | undefined, vote: BundledVote): Response {
  if (answer === undefined) throw new Error('the backend answered fewer votes than it got')
  const { status, headers, body } = answer
  return new Response(body, { status, headers: { ...headers, 'x-request-id': vote.requestId } })
}
