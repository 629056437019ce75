/** Casts a batch of votes by a single statement, which judges the votes, writes the ballots and returns the outcomes. */
import type { Ballot, CastOutcome } from './cast-outcome.ts'
import type { Queryable } from '../database/database.ts'

export interface BatchedVote {
  readonly slug: string
  readonly voter: string
  readonly option: string
  /** A safe integer above 0. */
  readonly order: number
}

/** Server settings of a connection that casts batches. */
export const BATCH_SETTINGS = {
  // the planner takes arrays for short, and would join long ones in a nested loop
  enable_nestloop: 'off',
  // the plan is kept, and one made while a table was small would go on reading the whole table when it is large
  enable_seqscan: 'off',
  // for small batches the planner would make a new plan each time (docs/adr/0012)
  plan_cache_mode: 'force_generic_plan',
} as const

/**
 * Casts the votes; the outcome of each is at its index, and absent where it was accepted and its order stands. Casting them again
 * changes nothing.
 */
export async function castBatch(connection: Queryable, votes: readonly BatchedVote[]): Promise<(CastOutcome | undefined)[]> {
  const slugs = new Map<string, number>()
  const refs: number[] = []
  for (const { slug } of votes) {
    let ref = slugs.get(slug)
    if (ref === undefined) slugs.set(slug, (ref = slugs.size + 1))
    refs.push(ref)
  }
  const rows = await connection.query<OutcomeRow>(CAST_BATCH, [
    textArray([...slugs.keys()]),
    // array literals, since pg takes longer to build the same text from arrays
    `{${refs.join()}}`,
    textArray(votes.map((vote) => vote.voter)),
    textArray(votes.map((vote) => vote.option)),
    `{${votes.map((vote) => vote.order).join()}}`,
  ])

  const outcomes: (CastOutcome | undefined)[] = Array.from({ length: votes.length })
  const final = new Set<number>()
  /** By poll and voter: the ballot as the statement returned it, or else as the votes of the batch so far leave it. */
  const ballots = new Map<string, Ballot>()
  for (const row of rows) {
    if (row.kind === 'refused') outcomes[row.ref - 1] = { kind: row.detail }
    else if (row.kind === 'final') final.add(row.ref)
    else ballots.set(`${row.ref} ${row.voter}`, { option: row.detail, order: Number(row.vote_order) })
  }
  for (const [i, vote] of votes.entries()) {
    if (outcomes[i] !== undefined) continue
    const ref = refs[i] ?? 0
    const key = `${ref} ${vote.voter.toLowerCase()}`
    const ballot = ballots.get(key)
    const isFinal = final.has(ref)
    if (ballot === undefined || (vote.order > ballot.order && !isFinal)) ballots.set(key, vote)
    else if (ballot.option !== vote.option) {
      outcomes[i] = isFinal ? { kind: 'already-voted', ballot: ballot.option } : { kind: 'superseded', ballot: ballotOf(ballot) }
    } else if (ballot.order !== vote.order) outcomes[i] = { kind: 'accepted', order: ballot.order }
  }
  return outcomes
}

/** The ballot alone, without what else is in a vote. */
function ballotOf({ option, order }: Ballot): Ballot {
  return { option, order }
}

type OutcomeRow =
  | {
      readonly kind: 'refused'
      readonly ref: number
      readonly detail: 'unknown-poll' | 'unknown-option' | 'not-open' | 'closed' | 'no-ticket' | 'counted-elsewhere'
    }
  | { readonly kind: 'final'; readonly ref: number }
  | {
      readonly kind: 'stands'
      readonly ref: number
      readonly voter: string
      readonly detail: string
      readonly vote_order: string
    }

/** A Postgres array literal (documentation §8.15.2). */
function textArray(values: readonly string[]): string {
  return `{${values.map((value) => (PLAIN.test(value) ? value : `"${value.replaceAll(/["\\]/g, '\\$&')}"`)).join()}}`
}

const PLAIN = /^(?!null$)[a-z0-9-]+$/i

/**
 * $1 slugs, $2 the place of each vote's slug in them, $3 voters, $4 options, $5 orders.
 *
 * - It share-locks the polls' rows first: it sees an edit that has committed, and a later edit waits for it. So no vote is accepted
 *   after a close.
 * - Of several votes of one voter that with the highest order counts, or the first where votes are final.
 * - It writes rows in key order, so that batches of different replicas cannot deadlock.
 * - A vote replaces a ballot of a lower order only (docs/adr/0018). For the same option it raises the ballot's order.
 * - A vote that changes nothing, since votes are final or the ballot has a higher order, still "updates" the row to what it was, so
 *   that the statement returns the ballot that stands even if another replica committed it after this statement began.
 */
const CAST_BATCH = {
  name: 'cast batch',
  text: `
WITH poll AS MATERIALIZED (
  SELECT p.id, array_position($1::text[], p.slug) AS ref, p.option_ids, p.change_allowed, p.policy,
    CASE WHEN p.source IS NOT NULL THEN 'counted-elsewhere'
      WHEN p.state = 'closed' OR p.closes_at <= clock_timestamp() THEN 'closed'
      WHEN p.state = 'scheduled' AND (p.opens_at IS NULL OR p.opens_at > clock_timestamp()) THEN 'not-open' END AS refusal
  FROM livetally.polls p WHERE p.slug = ANY ($1::text[]) ORDER BY p.id FOR SHARE
), vote AS MATERIALIZED (
  SELECT v.seq, v.ref, v.voter, v.option, v.vote_order, poll.id AS poll_id, poll.change_allowed,
    CASE WHEN poll.id IS NULL THEN 'unknown-poll'
      WHEN poll.refusal IS NOT NULL THEN poll.refusal
      WHEN v.option <> ALL (poll.option_ids) THEN 'unknown-option'
      WHEN poll.policy = 'ticket' AND NOT EXISTS (
        SELECT FROM livetally.tickets t WHERE t.poll_id = poll.id AND t.voter_id = v.voter) THEN 'no-ticket' END AS refusal
  FROM unnest($2::integer[], $3::uuid[], $4::text[], $5::bigint[]) WITH ORDINALITY AS v(ref, voter, option, vote_order, seq)
  LEFT JOIN poll ON poll.ref = v.ref
), chosen AS MATERIALIZED (
  SELECT DISTINCT ON (v.poll_id, v.voter) v.poll_id, v.ref, v.voter, v.option, v.vote_order, v.change_allowed FROM vote v WHERE v.refusal IS NULL
  ORDER BY v.poll_id, v.voter, CASE WHEN v.change_allowed THEN -v.vote_order END, v.seq
), kept AS (
  INSERT INTO livetally.ballots AS b (poll_id, voter_id, option, vote_order)
  SELECT c.poll_id, c.voter, c.option, c.vote_order FROM chosen c ORDER BY c.poll_id, c.voter
  ON CONFLICT (poll_id, voter_id) DO UPDATE SET (option, cast_at, vote_order) = (
    SELECT CASE WHEN r.replaces THEN excluded.option ELSE b.option END,
      CASE WHEN r.replaces AND b.option <> excluded.option THEN excluded.cast_at ELSE b.cast_at END,
      CASE WHEN r.replaces THEN excluded.vote_order ELSE b.vote_order END
    FROM (SELECT q.change_allowed AND excluded.vote_order > b.vote_order AS replaces FROM poll q WHERE q.id = b.poll_id) r)
  WHERE b.option <> excluded.option OR b.vote_order <> excluded.vote_order
  RETURNING b.poll_id, b.voter_id, b.option, b.vote_order
)
SELECT 'refused' AS kind, v.seq::integer AS ref, NULL::text AS voter, v.refusal AS detail, NULL::bigint AS vote_order
  FROM vote v WHERE v.refusal IS NOT NULL
UNION ALL SELECT 'final', poll.ref, NULL, NULL, NULL FROM poll WHERE NOT poll.change_allowed
UNION ALL SELECT 'stands', c.ref, kept.voter_id::text, kept.option, kept.vote_order
  FROM kept JOIN chosen c ON c.poll_id = kept.poll_id AND c.voter = kept.voter_id
  WHERE NOT c.change_allowed OR kept.option <> c.option OR kept.vote_order <> c.vote_order`,
}
