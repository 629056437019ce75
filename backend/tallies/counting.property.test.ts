import { test } from 'node:test'
import { mustCountHistories } from '../../e2e/support/counting-histories.ts'
import { onEachDatabase } from '../../e2e/support/databases-under-test.ts'

onEachDatabase('counters', (use, kind) => {
  test('equal a recount after every step of every history, and so does what the poller read', { timeout: 120_000 }, async () => {
    await mustCountHistories(use(), kind === 'postgres' ? 80 : 40)
  })
})
