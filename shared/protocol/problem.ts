/** Errors over HTTP, the same from every service: RFC 9457 problem details. */
import { z } from 'zod'

export const PROBLEM_CONTENT_TYPE = 'application/problem+json'

/** `type` names the kind of problem and is what programs compare; `detail` says what is wrong and what would be right. */
export const Problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
})
export type Problem = z.infer<typeof Problem>

const TITLES: Readonly<Record<string, string>> = {
  'bad-request': 'The request cannot be understood',
  'bad-body': 'The body is not what this route takes',
  'unsupported-media-type': 'The body has the wrong content type',
  'too-large': 'The body is too large',
  'not-found': 'There is nothing here',
  'wrong-method': 'The method is not taken here',
  'unknown-poll': 'There is no such poll',
  'unknown-option': 'The poll has no such option',
  'poll-closed': 'The poll is closed',
  'poll-not-open': 'The poll is not open yet',
  'already-voted': 'The ballot is cast and cannot be changed',
  'counted-elsewhere': 'Votes of this poll are cast elsewhere',
  'no-tickets-here': 'The poll takes no tickets',
  'no-ticket': 'The poll takes votes with a ticket only',
  'not-adoptable': 'The table cannot be counted',
  'no-voter': 'The voter is not known',
  'forged-voter': 'The voter cookie is not ours',
  'not-allowed': 'Not allowed',
  'origin-refused': 'This origin may not do that',
  'poll-exists': 'A poll of that name exists',
  overloaded: 'Too much to do at present',
  draining: 'This server is leaving',
  unavailable: 'The service cannot answer at present',
  timeout: 'The service did not answer in time',
  unconfirmed: 'It is not known whether the vote was counted',
  'too-many': 'Too much comes from your address at present',
  internal: 'Something went wrong here',
}

/** A problem of a known kind. The type is a relative reference, `/problems/<kind>`; `further` are its own members (RFC 9457 §3.2). */
export function problem(status: number, kind: string, detail: string, further: Readonly<Record<string, unknown>> = {}): Problem {
  return { type: `/problems/${kind}`, title: TITLES[kind] ?? kind, status, detail, ...further }
}

/** The answer to a method that its target does not take; `methods` are those that it does (RFC 9110 §15.5.6). */
export function wrongMethod(methods: readonly string[]): Response {
  const allow = methods.join(', ')
  return problemResponse(405, 'wrong-method', `This address takes ${allow}.`, { allow })
}

/** The same as a response. */
export function problemResponse(
  status: number,
  kind: string,
  detail: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(JSON.stringify(problem(status, kind, detail)), {
    status,
    headers: { 'content-type': PROBLEM_CONTENT_TYPE, 'cache-control': 'no-store', ...headers },
  })
}
