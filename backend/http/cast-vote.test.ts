import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Log } from '../../shared/telemetry/log.ts'
import type { BallotBox } from '../ballots/ballot-box.ts'
import type { CastOutcome } from '../ballots/cast-outcome.ts'
import { createVoteCaster } from './cast-vote.ts'
import { createVoterCookie } from './voter-cookie.ts'

const LOG: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => LOG }

/** Casts a vote without an order, which gets the order 10, and is judged by `outcomes` in turn, at the times of the later stamps. */
async function castUnordered(outcomes: CastOutcome[], laterStamps: number[]): Promise<{ orders: number[]; last: string }> {
  const voters = createVoterCookie({ secret: 'a secret', date: () => 0 })
  const stamps = [10, ...laterStamps]
  const orders: number[] = []
  const cast: BallotBox['cast'] = ({ order }) => {
    orders.push(order)
    return Promise.resolve(outcomes.shift() ?? { kind: 'accepted' })
  }
  let last = ''
  const votes = createVoteCaster({
    ballotBox: { cast } as BallotBox,
    tickets: { isGood: () => Promise.resolve(false), issue: () => Promise.resolve({ kind: 'unknown-poll' }) },
    voters,
    stamp: () => stamps.shift() ?? Infinity,
    log: LOG,
    onVote: (outcome) => void (last = outcome),
  })
  const cookie = voters.issue(false).split(';', 1)[0]
  await votes.cast({ slug: 'tea', option: 'yes', cookie, isSecure: false }).catch(() => {})
  return { orders, last }
}

const standing = (order: number): CastOutcome => ({ kind: 'superseded', ballot: { option: 'no', order } })

test('a vote without an order that waited while a later one came stays below it', async () => {
  assert.deepEqual(await castUnordered([standing(15)], [20]), { orders: [10], last: 'superseded' })
})

test('a vote without an order is cast above a ballot that was ordered by a clock ahead, three times at most', async () => {
  assert.deepEqual(await castUnordered([standing(25)], [20]), { orders: [10, 26], last: 'accepted' })
  const outbid = [standing(25), standing(35), standing(45)]
  assert.deepEqual(await castUnordered(outbid, [20, 30, 40]), { orders: [10, 26, 36], last: 'superseded' })
})
