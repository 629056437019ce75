/** What a refusal says of whether a vote was cast. */
import { Problem } from '../../shared/protocol/problem.ts'

/** Refusals by which a backend says that it did nothing, though another one may. */
const NOT_DONE = new Set(['/problems/overloaded', '/problems/draining'])
/**
 * Refusals that hold whatever an earlier try did: of the vote's form and of its voter, which are the same each time, and those that name
 * the ballot that stands. Any other, such as that the poll is closed, may come after a try that was in time.
 */
const CERTAIN = new Set(
  ['bad-body', 'bad-request', 'too-large', 'no-voter', 'forged-voter', 'superseded', 'already-voted'].map(
    (kind) => `/problems/${kind}`,
  ),
)

interface Answer {
  readonly status: number
  readonly body: string
}

/** Whether an answer is a problem that says that the backend did nothing. */
export function isNotDone(answer: Answer | undefined): boolean {
  return answer?.status === 503 && NOT_DONE.has(problemType(answer.body))
}

/** Whether an answer to a vote holds even if an earlier try of the same vote may have been carried out. */
export function isCertain({ status, body }: Answer): boolean {
  return status < 400 || CERTAIN.has(problemType(body))
}

/** The type of the problem in a body; empty if it is none. */
function problemType(body: string): string {
  try {
    return Problem.safeParse(JSON.parse(body)).data?.type ?? ''
  } catch {
    return ''
  }
}
