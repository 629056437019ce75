import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CannotWork } from '../lifecycle/retry.ts'
import { slotOf } from './redis-slot.ts'
import { parseRedisUrl } from './redis-url.ts'

const PLAIN = { masterName: '', tls: false, db: 0 }

test('a URL names one Redis, Sentinels with the name of a master, or nodes of a cluster', () => {
  assert.deepEqual(parseRedisUrl('redis://redis'), { ...PLAIN, form: 'single', hosts: [{ host: 'redis', port: 6379 }] })
  assert.deepEqual(parseRedisUrl('rediss://ann:p%40ss%2F@[::1]:6380/3'), {
    ...PLAIN,
    form: 'single',
    hosts: [{ host: '::1', port: 6380 }],
    tls: true,
    db: 3,
    username: 'ann',
    password: 'p@ss/',
  })
  assert.equal(parseRedisUrl('redis://ann:p@ss@a').password, 'p@ss')
  assert.deepEqual(parseRedisUrl('redis+sentinel://:pw@a,b:1/tallies?sentinelPassword=other'), {
    ...PLAIN,
    form: 'sentinel',
    hosts: [
      { host: 'a', port: 26_379 },
      { host: 'b', port: 1 },
    ],
    masterName: 'tallies',
    password: 'pw',
    sentinelPassword: 'other',
  })
  assert.deepEqual(parseRedisUrl('rediss+cluster://a:7000,b'), {
    ...PLAIN,
    form: 'cluster',
    hosts: [
      { host: 'a', port: 7_000 },
      { host: 'b', port: 6_379 },
    ],
    tls: true,
  })
})

test('what is wrong with a URL is said, and never its password', () => {
  const wrong = [
    ['redis://:secret@a,b', /several hosts/],
    ['redis+sentinel://:secret@a', /lacks the name of the master/],
    ['redis+cluster://:secret@a/1', /no databases/],
    ['redis://:secret@a/tallies', /no number of a database/],
    ['redis://secret@a', /user without a password/],
    ['redis://:secret@a:99999', /host:port/],
    ['redis://', /none of/],
    ['redis://:secret/word@a', /write \/ in a password as %2F/],
    ['redis+cluster://ann:secret/word@a:7000', /write \/ in a password as %2F/],
    ['redis://:secret%word@a', /write % in a password as %25/],
  ] as const
  for (const [url, says] of wrong) {
    assert.throws(
      () => parseRedisUrl(url),
      (error: unknown) => error instanceof CannotWork && says.test(error.message) && !error.message.includes('secret'),
      url,
    )
  }
})

test('a key is in the slot in which a cluster has it', () => {
  // as CLUSTER KEYSLOT says
  assert.deepEqual(['123456789', 'foo', 'livetally:tally:{tea}', 'livetally:news:{tea}'].map(slotOf), [
    12_739,
    12_182,
    slotOf('tea'),
    slotOf('tea'),
  ])
  assert.equal(slotOf('a{}b{c}'), slotOf('a{}b{c}'))
  assert.notEqual(slotOf('a{}b{c}'), slotOf('c'))
})
