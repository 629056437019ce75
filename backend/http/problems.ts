/** The problems the API answers with (RFC 9457). Handlers throw them, since their types promise what `/openapi.json` promises. */
import { HTTPException } from 'hono/http-exception'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { problem, PROBLEM_CONTENT_TYPE, problemResponse, type Problem } from '../../shared/protocol/problem.ts'
import type { CastOutcome } from '../ballots/cast-outcome.ts'

/** Wraps a problem so that a handler can throw it: the error handler then answers with it. */
export function problemException(response: Response): HTTPException {
  return new HTTPException(response.status as ContentfulStatusCode, { res: response })
}

export function unknownPoll(slug: string): HTTPException {
  return problemException(unknownPollResponse(slug))
}

function unknownPollResponse(slug: string): Response {
  return problemResponse(404, 'unknown-poll', `There is no poll "${slug}".`)
}

/** The problem of a body that does not fit its schema; it names every field that is wrong, and what would be right. */
export function badBody(issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[]) {
  const complaints = issues.map(({ path, message }) => (path.length > 0 ? `${path.join('.')}: ${message}` : message))
  return problemResponse(400, 'bad-body', complaints.join('; ').slice(0, 1_000))
}

/** The problem of a vote that was not accepted. */
export function voteRefused(outcome: Exclude<CastOutcome, { kind: 'accepted' }>, slug: string, option: string): HTTPException {
  return problemException(answerTo(outcome, slug, option))
}

function answerTo(outcome: Exclude<CastOutcome, { kind: 'accepted' }>, slug: string, option: string): Response {
  switch (outcome.kind) {
    case 'unknown-poll':
      return unknownPollResponse(slug)
    case 'unknown-option':
      return problemResponse(422, 'unknown-option', `The poll "${slug}" has no option "${option}".`)
    case 'not-open':
      return problemResponse(409, 'poll-not-open', `The poll "${slug}" is not open yet.`)
    case 'closed':
      return problemResponse(409, 'poll-closed', `The poll "${slug}" is closed.`)
    case 'already-voted': {
      const detail = `This voter has voted "${outcome.ballot}", and ballots of "${slug}" cannot be changed.`
      return jsonProblem(problem(409, 'already-voted', detail, { ballot: { option: outcome.ballot } }))
    }
    case 'superseded': {
      const { ballot } = outcome
      const detail = `A vote of this voter with the order ${ballot.order} stands, for "${ballot.option}": only a higher order replaces it.`
      return jsonProblem(problem(409, 'superseded', detail, { ballot, order: ballot.order }))
    }
    case 'no-ticket':
      return problemResponse(403, 'no-ticket', `The poll "${slug}" takes votes with a ticket only: use the link you were given.`)
    case 'counted-elsewhere':
      return problemResponse(
        409,
        'counted-elsewhere',
        `The poll "${slug}" counts another program's table: its votes are cast there.`,
      )
    case 'abandoned':
      return problemResponse(503, 'overloaded', 'Nobody waited for the answer any more, so the vote was not cast.')
    case 'unavailable':
      return problemResponse(
        503,
        'unavailable',
        'No database takes votes at present, so the vote was not cast. Repeat it in a moment.',
        {
          'retry-after': String(Math.ceil(outcome.retryAfterMs / 1_000)),
        },
      )
    case 'overloaded':
      return problemResponse(503, 'overloaded', 'More votes are waiting than can be held. Repeat this one in a moment.', {
        'retry-after': String(Math.ceil(outcome.retryAfterMs / 1_000)),
      })
  }
}

/** The problem of a voter without a cookie, or with one that was not signed with the secret: the response sets a good one. */
export function unknownVoter(kind: 'none' | 'forged', setCookie: string): HTTPException {
  const headers = { 'set-cookie': setCookie }
  return problemException(
    kind === 'none'
      ? problemResponse(401, 'no-voter', 'This response sets the voter cookie: repeat the request with it.', headers)
      : problemResponse(
          401,
          'forged-voter',
          'The voter cookie was not signed here. This response sets a good one: repeat the request with it.',
          headers,
        ),
  )
}

/** The answer to an exception: the problem in it, or one made from its status and its challenge (RFC 9110 §11.6.1). */
export function asProblem(error: HTTPException): Response {
  // the exceptions of Hono's middleware carry plain text instead of a problem
  if (error.res?.headers.get('content-type') === PROBLEM_CONTENT_TYPE) return error.res
  const challenge = error.getResponse().headers.get('www-authenticate')
  const headers: Record<string, string> = challenge === null ? {} : { 'www-authenticate': challenge }
  // of a malformed Authorization header the middleware makes 400, but whoever sent it lacks the token like anyone without one
  if (error.status === 401 || challenge !== null)
    return problemResponse(401, 'not-allowed', 'This needs the header "Authorization: Bearer …" with the admin token.', headers)
  if (error.status === 400) return problemResponse(400, 'bad-body', error.message)
  return problemResponse(error.status, 'bad-request', error.message, headers)
}

function jsonProblem(body: Problem): Response {
  const headers = { 'content-type': PROBLEM_CONTENT_TYPE, 'cache-control': 'no-store' }
  return new Response(JSON.stringify(body), { status: body.status, headers })
}
