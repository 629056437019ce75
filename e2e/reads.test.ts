import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ADMIN_TOKEN, createVoter, startCluster, type Cluster } from './support/cluster.ts'
import { watch } from './support/watcher.ts'

const OPTIONS = [
  { id: 'cats', label: 'Cats' },
  { id: 'dogs', label: 'Dogs' },
]

interface View {
  readonly poll: { readonly question: string }
  readonly tally: { readonly total: number; readonly counts?: Readonly<Record<string, number>> }
  readonly ballot: { readonly option: string } | null
}

describe('reading', () => {
  let cluster: Cluster
  let urls: readonly string[]
  const create = async (poll: string, more: object = {}) => {
    const answer = await cluster.admin('POST', '/api/polls', { poll, question: 'Cats or dogs?', options: OPTIONS, ...more })
    assert.equal(answer.status, 201, await answer.text())
  }
  const view = async (poll: string, headers: Record<string, string> = {}, url = urls[0] ?? '') =>
    (await (await fetch(`${url}/api/polls/${poll}`, { headers })).json()) as View

  before(async () => {
    cluster = await startCluster({ backends: 2, gateways: 1 })
    // a gateway that asks the other backend
    const backends = cluster.backends.map(({ url }) => url).toReversed()
    await cluster.startGateway({ BACKEND_URL: backends.join(',') })
    urls = cluster.gateways.map(({ url }) => url)
  })
  after(() => cluster[Symbol.asyncDispose]())

  test('answers 304 to whoever has it already, and with the content once it has changed', async () => {
    await create('known')
    const voter = await createVoter(urls[0] ?? '', 'known')
    const { cookie } = voter
    for (const path of ['/api/polls/known', '/api/polls', '/api/polls/known/history?step=1s']) {
      const ask = async (headers: Record<string, string> = {}) =>
        await fetch((urls[0] ?? '') + path, { headers: { cookie, ...headers } })
      const first = await ask()
      const etag = first.headers.get('etag') ?? ''
      assert.equal(first.status, 200)
      assert.match(first.headers.get('content-type') ?? '', /^application\/json/)
      assert.ok(Object.keys((await first.json()) as object).length > 0)
      for (const listed of [etag, etag.replace('W/', ''), `"other", ${etag}`, '*']) {
        const again = await ask({ 'if-none-match': listed })
        assert.equal(again.status, 304, `${path}: ${listed}`)
        assert.equal(again.headers.get('etag'), etag)
        assert.equal(await again.text(), '')
      }
      assert.equal((await ask({ 'if-none-match': '"other"' })).status, 200)
    }
    const { headers } = await fetch(`${urls[0]}/api/polls/known/history`)
    assert.equal(headers.get('cache-control'), 'no-cache')
    const etag = (await fetch(`${urls[0]}/api/polls`)).headers.get('etag') ?? ''
    assert.equal((await voter.vote(urls[0] ?? '', 'cats')).status, 200)
    assert.equal((await fetch(`${urls[1]}/api/polls`, { headers: { 'if-none-match': etag } })).status, 200)
  })

  test('shows a poll as it is now, to whom it was unknown a moment ago as well', async () => {
    for (const url of urls) {
      assert.equal((await fetch(`${url}/api/polls/new-one`)).status, 404)
      const early = await watch(url, ['new-one'])
      await assert.rejects(early.until((frame) => frame.type === 'tally'))
    }
    await create('new-one')
    for (const url of urls) {
      assert.equal((await view('new-one', {}, url)).poll.question, 'Cats or dogs?')
      const watcher = await watch(url, ['new-one'])
      await watcher.until((frame) => frame.type === 'tally' && frame.total === 0)
      watcher.close()
    }
    await cluster.admin('PATCH', '/api/polls/new-one', { question: 'Dogs or cats?' })
    for (const url of urls) {
      assert.equal((await view('new-one', {}, url)).poll.question, 'Dogs or cats?')
      const list = (await (await fetch(`${url}/api/polls`)).json()) as { polls: { poll: string; question: string }[] }
      assert.equal(list.polls.find(({ poll }) => poll === 'new-one')?.question, 'Dogs or cats?')
    }
    const removed = await fetch(`${urls[0]}/api/polls/new-one`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    })
    assert.equal(removed.status, 204)
    for (const url of urls) assert.equal((await fetch(`${url}/api/polls/new-one`)).status, 404)
  })

  test('shows voters in a crowd their own ballots, and the counts to nobody else', async () => {
    await create('secret', { visibility: 'after-vote' })
    const voters = await Promise.all(Array.from({ length: 20 }, () => createVoter(urls[0] ?? '', 'secret')))
    assert.equal(new Set(voters.map(({ cookie }) => cookie)).size, 20, 'every browser has a cookie of its own')
    await Promise.all(
      voters.map(async ({ cookie, vote }, index) => {
        const option = index % 2 === 0 ? 'cats' : 'dogs'
        const readers = Array.from({ length: 20 }, () => view('secret'))
        assert.equal((await vote(urls[0] ?? '', option)).status, 200)
        const own = await view('secret', { cookie })
        assert.equal(own.ballot?.option, option, 'what was acknowledged is there')
        assert.ok((own.tally.counts?.[option] ?? 0) >= 1)
        for (const { ballot, tally } of await Promise.all(readers)) assert.deepEqual([ballot, tally.counts], [null, undefined])
      }),
    )
    assert.deepEqual((await view('secret', { cookie: voters[0]?.cookie ?? '' })).tally.counts, { cats: 10, dogs: 10 })
  })
})
