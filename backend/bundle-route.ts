/** Votes that a gateway brings together, each answered as if it had come alone. */
import type { Context } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { VoteBundle, type BundledAnswer, type BundledVote } from '../shared/protocol/vote-bundle.ts'
import type { Log } from '../shared/telemetry/log.ts'
import { VoteBody } from './api-schemas.ts'
import { answerToFault } from './faults.ts'
import { badBody, Refused } from './refusals.ts'
import type { Voting } from './voting.ts'

/** The handler of `PUT /votes`. */
export function takeBundle(voting: Voting, log: Log): (c: Context) => Promise<Response> {
  return async (c) => {
    const bundle = VoteBundle.safeParse(await c.req.json().catch(() => undefined))
    if (!bundle.success) return badBody(bundle.error.issues)
    return c.json(await Promise.all(bundle.data.map((vote) => take(voting, log, vote))))
  }
}

/** Never rejects: what befalls one vote is no matter of the others. */
async function take(voting: Voting, log: Log, { poll, body, requestId, ...credentials }: BundledVote): Promise<BundledAnswer> {
  try {
    const receipt = await voting.cast({ poll, option: optionIn(body), ...credentials })
    return { status: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(receipt) }
  } catch (error) {
    const answer = answerToFault(error, log, { requestId, method: 'PUT', path: `/api/polls/${poll}/vote` })
    return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() }
  }
}

/** Throws as the validator of the route for one vote does. */
function optionIn(body: string): string {
  const vote = VoteBody.safeParse(parsed(body))
  if (!vote.success) throw new Refused(badBody(vote.error.issues))
  return vote.data.option
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    throw new HTTPException(400, { message: 'Malformed JSON in request body' })
  }
}
