import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHosts, databaseUrl, urlsOf } from './hosts.ts'

test('a connection string with several hosts is one for each of them', () => {
  assert.deepEqual(urlsOf('postgres://u:p@one:5432,two,[::1]:5433/db?target_session_attrs=read-write'), [
    'postgres://u:p@one:5432/db?target_session_attrs=read-write',
    'postgres://u:p@two/db?target_session_attrs=read-write',
    'postgres://u:p@[::1]:5433/db?target_session_attrs=read-write',
  ])
  for (const url of ['postgres://u:p,w@one/db', 'postgresql://one', 'postgres:///db?host=/run/one,two']) {
    assert.deepEqual(urlsOf(url), [url])
  }
})

test('what does not lead to a server that takes writes is refused in a sentence', () => {
  const refused = [
    ['one,two', /must be a URL that starts with postgres:/],
    ['mysql://one,two/db', /must be a URL that starts with postgres:/],
    ['postgres://one:nothing,two/db', /must be a URL/],
    ['postgres://one,two/db?target_session_attrs=any', /must have target_session_attrs=read-write or none/],
    ['postgres://one/db?target_session_attrs=standby', /must have target_session_attrs=read-write or none/],
  ] as const
  for (const [url, sentence] of refused) {
    const issues = databaseUrl.safeParse(url).error?.issues ?? []
    assert.match(issues.map(({ message }) => message).join(), sentence, url)
  }
  assert.ok(databaseUrl.safeParse('postgres://u:p@one,two:5433/db?target_session_attrs=primary').success)
})

test('a host that was found to take no writes is left for the next, unless another connection has left it already', () => {
  const hosts = createHosts('postgres://one,two,three/db')
  const [one, two, three] = urlsOf('postgres://one,two,three/db')
  for (const next of [two, three, one]) {
    const { url } = hosts
    hosts.skip(url)
    hosts.skip(url)
    assert.equal(hosts.url, next)
  }
})
