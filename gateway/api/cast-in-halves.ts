/** Casts votes together, and where they are refused together in halves, so that only the vote that is to blame suffers. */
import { problemResponse } from '../../shared/protocol/problem.ts'
import type { BundledAnswer, BundledVote } from '../../shared/protocol/vote-bundle.ts'

/** The answers to a request as a whole that one of its votes may be to blame for. */
const BLAMING_ONE = new Set([400, 413])
/** How often the votes of one bundle are halved: enough to find three that are to blame among the most that it holds. */
const MAX_HALVINGS = 32

/**
 * Resolves to the answers in the order of the votes. `castTogether` sends them in one request and resolves to their answers, or to the
 * answer to the request where that is a refusal. `onRefused` is told the status of the first refusal that one vote may be to blame for.
 */
export async function castInHalves(
  votes: readonly BundledVote[],
  castTogether: (votes: readonly BundledVote[]) => Promise<readonly BundledAnswer[] | Response>,
  onRefused: (status: number) => void,
): Promise<readonly BundledAnswer[]> {
  let halvings = 0
  const cast = async (part: readonly BundledVote[]): Promise<readonly BundledAnswer[]> => {
    const answer = await castTogether(part)
    if (!(answer instanceof Response)) return answer
    if (!BLAMING_ONE.has(answer.status)) return await toEach(part, answer)
    await answer.body?.cancel()
    if (halvings === 0) onRefused(answer.status)
    if (part.length === 1 || halvings === MAX_HALVINGS) return await toEach(part, undeliverable(answer.status, part.length))
    halvings += 1
    const middle = part.length >> 1
    return [...(await cast(part.slice(0, middle))), ...(await cast(part.slice(middle)))]
  }
  return await cast(votes)
}

async function toEach(votes: readonly BundledVote[], response: Response): Promise<readonly BundledAnswer[]> {
  const answer = await bundledAnswer(response)
  return votes.map(() => answer)
}

/** The response as the answer to a vote of a bundle. */
export async function bundledAnswer(response: Response): Promise<BundledAnswer> {
  return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() }
}

/** The answer to a vote that was refused before it was judged; to several, some of which may do no harm, one that says to try again. */
function undeliverable(status: number, votes: number): Response {
  if (votes > 1) {
    const detail = 'The vote came among too many that cannot be passed on. Try again in a moment.'
    return problemResponse(503, 'unavailable', detail, { 'retry-after': '1' })
  }
  return status === 413
    ? problemResponse(413, 'too-large', 'The vote is larger than what can be passed on to a backend. A vote needs few bytes.')
    : problemResponse(400, 'bad-request', 'The vote cannot be passed on: no backend understands it.')
}
