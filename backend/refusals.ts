/** What the API says when it says no. Handlers throw it, since their types promise what `/openapi.json` promises. */
import type { HTTPException } from 'hono/http-exception'
import { problem, PROBLEM_CONTENT_TYPE, problemResponse, type Problem } from '../shared/protocol/problem.ts'
import type { CastOutcome } from './ballot-box.ts'

/** An answer that ends the request here. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly response: Response

  constructor(response: Response) {
    super(`refused with ${response.status}`)
    this.response = response
  }
}

export function unknownPoll(poll: string) {
  return new Refused(problemResponse(404, 'unknown-poll', `There is no poll "${poll}".`))
}

/** Names every field that is wrong, and what would be right. */
export function badBody(issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[]) {
  const complaints = issues.map(({ path, message }) => (path.length > 0 ? `${path.join('.')}: ${message}` : message))
  return problemResponse(400, 'bad-body', complaints.join('; ').slice(0, 1_000))
}

/** A vote that was not accepted. */
export function voteRefused(outcome: Exclude<CastOutcome, { kind: 'accepted' }>, poll: string, option: string) {
  return new Refused(answerTo(outcome, poll, option))
}

function answerTo(outcome: Exclude<CastOutcome, { kind: 'accepted' }>, poll: string, option: string) {
  switch (outcome.kind) {
    case 'unknown-poll':
      return unknownPoll(poll).response
    case 'unknown-option':
      return problemResponse(422, 'unknown-option', `The poll "${poll}" has no option "${option}".`)
    case 'not-open':
      return problemResponse(409, 'poll-not-open', `The poll "${poll}" is not open yet.`)
    case 'closed':
      return problemResponse(409, 'poll-closed', `The poll "${poll}" is closed.`)
    case 'already-voted': {
      const detail = `This voter has voted "${outcome.ballot}", and ballots of "${poll}" cannot be changed.`
      return jsonProblem(problem(409, 'already-voted', detail, { ballot: { option: outcome.ballot } }))
    }
    case 'no-ticket':
      return problemResponse(403, 'no-ticket', `The poll "${poll}" takes votes with a ticket only: use the link you were given.`)
    case 'counted-elsewhere':
      return problemResponse(
        409,
        'counted-elsewhere',
        `The poll "${poll}" counts another program's table: its votes are cast there.`,
      )
    case 'overloaded':
      return problemResponse(503, 'overloaded', 'More votes are waiting than can be held. Repeat this one in a moment.', {
        'retry-after': String(Math.ceil(outcome.retryAfterMs / 1_000)),
      })
  }
}

/** To a voter without a cookie, or with one that is not ours: the response gives a good one. */
export function unknownVoter(kind: 'none' | 'forged', setCookie: string): Response {
  const headers = { 'set-cookie': setCookie }
  return kind === 'none'
    ? problemResponse(401, 'no-voter', 'This response sets the voter cookie: repeat the request with it.', headers)
    : problemResponse(
        401,
        'forged-voter',
        'The voter cookie was not signed here. This response sets a good one: repeat the request with it.',
        headers,
      )
}

/** What a middleware threw: its status, its challenge (RFC 9110 §11.6.1), and never its stack. */
export function asProblem(error: HTTPException): Response {
  const challenge = error.getResponse().headers.get('www-authenticate')
  const headers: Record<string, string> = challenge === null ? {} : { 'www-authenticate': challenge }
  if (error.status === 401)
    return problemResponse(401, 'not-allowed', 'This needs the header "Authorization: Bearer …" with the admin token.', headers)
  if (error.status === 400)
    return problemResponse(
      400,
      challenge === null ? 'bad-body' : 'bad-request',
      error.message || 'The Authorization header is malformed.',
      headers,
    )
  return problemResponse(error.status, 'bad-request', error.message, headers)
}

function jsonProblem(body: Problem): Response {
  const headers = { 'content-type': PROBLEM_CONTENT_TYPE, 'cache-control': 'no-store' }
  return new Response(JSON.stringify(body), { status: body.status, headers })
}
