import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startRedisCluster } from '../../e2e/support/redis-cluster.ts'
import { LIVETALLY_LOGIN, secureRedis } from '../../e2e/support/redis-secured.ts'
import { slotOf } from '../../shared/bus/redis-slot.ts'
import { CannotWork } from '../../shared/lifecycle/retry.ts'
import { connectVoteList } from './vote-list.ts'

/** What docs/operating.md adds to infra/redis/users.acl for a list. */
const RIGHTS = '~{votes} +exists +lmove +lrange +lset +lindex +lpop +lpush +ltrim +time'.split(' ')

test('a list with braces in its name is taken from a cluster, wherever its slot moves', { timeout: 60_000 }, async () => {
  await using security = await secureRedis()
  await using cluster = await startRedisCluster({ security })
  for (const { admin } of cluster.masters) await admin.acl('SETUSER', 'livetally', ...RIGHTS)
  const url = `rediss+cluster://${LIVETALLY_LOGIN}@${cluster.hosts}`
  await assert.rejects(
    connectVoteList({ url, ca: security.ca, list: 'votes', namespace: 'livetally' }),
    (error: unknown) => error instanceof CannotWork && error.message.includes('{votes}'),
  )
  const votes = await connectVoteList({ url, ca: security.ca, list: '{votes}', namespace: 'livetally' })
  const slot = slotOf('{votes}')
  const index = Math.floor((slot * cluster.masters.length) / 16_384)
  const [from, to] = [cluster.masters[index], cluster.masters[(index + 1) % cluster.masters.length]]
  assert.ok(from !== undefined && to !== undefined)
  await from.admin.rpush('{votes}', '{"vote":1}')
  const [first] = await votes.take(10)
  assert.equal(first?.text, '{"vote":1}')
  await votes.done([first], [])
  await cluster.moveSlot(slot, from, to)
  await to.admin.rpush('{votes}', '{"vote":2}')
  const [second] = await votes.take(10)
  assert.equal(second?.text, '{"vote":2}')
  assert.ok(second.order > first.order)
  await votes.done([second], [second])
  await votes.close()
})
