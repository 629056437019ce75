import assert from 'node:assert/strict'
import { Client } from 'pg'
import { after, before, describe, test } from 'node:test'
import { Redis } from 'ioredis'
import { ADMIN_TOKEN, createVoter, startCluster, type Cluster } from './support/cluster.ts'
import { watch } from './support/watcher.ts'

const OPTIONS = [
  { id: 'cats', label: 'Cats' },
  { id: 'dogs', label: 'Dogs, "all" of them' },
]

describe('the organiser', () => {
  let cluster: Cluster
  let url: string
  const authorization = `Bearer ${ADMIN_TOKEN}`
  const ask = async (method: string, path: string, body?: unknown, headers: Record<string, string> = { authorization }) =>
    await fetch(url + path, {
      method,
      headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  const create = async (poll: string, more: object = {}) => {
    const response = await ask('POST', '/api/polls', { poll, question: 'Cats or dogs?', options: OPTIONS, ...more })
    assert.equal(response.status, 201, await response.clone().text())
  }
  const total = async (poll: string) =>
    ((await (await fetch(`${url}/api/polls/${poll}`)).json()) as { tally: { total: number } }).tally.total

  before(async () => {
    cluster = await startCluster({ asOwner: true })
    url = cluster.gateways[0]?.url ?? ''
  })
  after(() => cluster[Symbol.asyncDispose]())

  test('hands out tickets, each good for one ballot wherever it is used, and for its own poll alone', async () => {
    await create('members', { policy: 'ticket' })
    await create('guests', { policy: 'ticket' })
    const issued = await ask('POST', '/api/polls/members/tickets', { count: 3 })
    assert.equal(issued.status, 201)
    assert.match(issued.headers.get('content-type') ?? '', /^text\/csv/)
    const [header, ...links] = (await issued.text()).trim().split('\r\n')
    assert.equal(header, 'link')
    assert.equal(links.length, 3)
    assert.ok(links.every((link) => link.startsWith(`${url}/p/members?ticket=`)))
    const tickets = links.map((link) => new URL(link).searchParams.get('ticket') ?? '')
    const vote = async (poll: string, ticket: string, option: string) =>
      (await ask('PUT', `/api/polls/${poll}/vote`, { option }, { 'livetally-ticket': ticket })).status
    assert.equal(await vote('members', tickets[0] ?? '', 'cats'), 200)
    assert.equal(await vote('members', tickets[0] ?? '', 'dogs'), 200, 'a change of mind, from anywhere')
    assert.equal(await vote('members', tickets[1] ?? '', 'dogs'), 200)
    assert.equal(await vote('members', 'made-up', 'dogs'), 403)
    assert.equal(await vote('guests', tickets[2] ?? '', 'dogs'), 403)
    assert.equal(await total('members'), 2)
    const mine = await ask('GET', '/api/polls/members', undefined, { 'livetally-ticket': tickets[0] ?? '' })
    assert.equal(((await mine.json()) as { ballot: { option: string } }).ballot.option, 'dogs')
    const byCookie = await (await createVoter(url, 'members')).vote(url, 'cats')
    assert.equal(byCookie.status, 403, 'a cookie is no ticket')
  })

  test('a made-up ticket votes in no poll, one that wants cookies included', async () => {
    await create('open')
    assert.equal((await ask('PUT', '/api/polls/open/vote', { option: 'cats' }, { 'livetally-ticket': 'made-up' })).status, 403)
    assert.equal((await ask('POST', '/api/polls/open/tickets', { count: 1 })).status, 409)
    assert.equal(await total('open'), 0)
  })

  test('tells a voter who may not change the ballot which one stands', async () => {
    await create('final', { changeAllowed: false })
    const voter = await createVoter(url, 'final')
    assert.equal((await voter.vote(url, 'cats')).status, 200)
    assert.equal((await voter.vote(url, 'cats')).status, 200, 'the same again is the same')
    const refused = await voter.vote(url, 'dogs')
    assert.equal(refused.status, 409)
    assert.deepEqual(((await refused.json()) as { ballot: object }).ballot, { option: 'cats' })
  })

  test('holds results back: on sockets, over HTTP and in the history there is only the total', async () => {
    await create('secret', { visibility: 'after-close' })
    const watcher = await watch(url, ['secret'])
    const voter = await createVoter(url, 'secret')
    assert.equal((await voter.vote(url, 'cats')).status, 200)
    const hidden = await watcher.until((frame) => frame.type === 'tally' && frame.total === 1)
    assert.ok(hidden.type === 'tally' && hidden.counts === undefined)
    const standing = (await (await fetch(`${url}/api/polls/secret`)).json()) as {
      poll: { resultsVisible: boolean }
      tally: object
    }
    assert.equal(standing.poll.resultsVisible, false)
    assert.ok(!('counts' in standing.tally))
    assert.equal((await ask('PATCH', '/api/polls/secret', { state: 'closed' })).status, 200)
    const shown = await watcher.until((frame) => frame.type === 'tally' && frame.counts !== undefined)
    assert.deepEqual(shown.type === 'tally' && shown.counts, { cats: 1, dogs: 0 })
    watcher.close()
  })

  test('shows results to those who have voted, and to no one else', async () => {
    await create('patient', { visibility: 'after-vote' })
    const voter = await createVoter(url, 'patient')
    assert.equal((await voter.vote(url, 'dogs')).status, 200)
    const mine = (await (await fetch(`${url}/api/polls/patient`, { headers: { cookie: voter.cookie } })).json()) as {
      tally: { counts?: object }
    }
    assert.deepEqual(mine.tally.counts, { cats: 0, dogs: 1 })
    const others = (await (await fetch(`${url}/api/polls/patient`)).json()) as { tally: { counts?: object; total: number } }
    assert.deepEqual([others.tally.counts, others.tally.total], [undefined, 1])
  })

  test('exports totals and ballots as CSV, without voter ids, and to the organiser alone', async () => {
    await create('export')
    const voters = await Promise.all(Array.from({ length: 3 }, () => createVoter(url, 'export')))
    await Promise.all(voters.map((voter, index) => voter.vote(url, index === 0 ? 'cats' : 'dogs')))
    const response = await ask('GET', '/api/polls/export/export.csv')
    assert.equal(response.status, 200)
    assert.match(response.headers.get('content-disposition') ?? '', /filename="export\.csv"/)
    const lines = (await response.text()).trim().split('\r\n')
    assert.deepEqual(lines.slice(0, 3), [
      'kind,option,label,count,cast_at',
      'total,cats,Cats,1,',
      'total,dogs,"Dogs, ""all"" of them",2,',
    ])
    assert.equal(lines.length, 6)
    for (const { cookie } of voters) assert.ok(!lines.join().includes(cookie.slice(6, 42)))
    assert.equal((await ask('GET', '/api/polls/export/export.csv', undefined, {})).status, 401)
  })

  test('resets a poll in a new epoch, and screens go back to nothing', async () => {
    await create('again')
    const watcher = await watch(url, ['again'])
    await (await createVoter(url, 'again')).vote(url, 'cats')
    const voted = await watcher.until((frame) => frame.type === 'tally' && frame.total === 1)
    assert.equal((await ask('POST', '/api/polls/again/reset')).status, 200)
    const reset = await watcher.until((frame) => frame.type === 'tally' && voted.type === 'tally' && frame.epoch > voted.epoch)
    assert.equal(reset.type === 'tally' && reset.total, 0)
    watcher.close()
  })

  test('removes a poll, and tells those who watch it', async () => {
    await create('brief')
    const watcher = await watch(url, ['brief'])
    await watcher.until((frame) => frame.type === 'tally')
    assert.equal((await ask('DELETE', '/api/polls/brief')).status, 204)
    assert.equal((await fetch(`${url}/api/polls/brief`)).status, 404)
    assert.equal((await ask('DELETE', '/api/polls/brief')).status, 404)
    assert.equal((await watcher.closed).code, 4404)
  })

  test('tells those who watch a poll that was removed in the database', async () => {
    await create('gone')
    const watcher = await watch(url, ['gone'])
    await watcher.until((frame) => frame.type === 'tally')
    const database = new Client({ connectionString: cluster.databaseUrl })
    await database.connect()
    await database.query("DELETE FROM livetally.polls WHERE slug = 'gone'")
    await database.end()
    assert.equal((await watcher.closed).code, 4404)
  })

  test('sees how a poll got where it is', async () => {
    await create('told')
    await (await createVoter(url, 'told')).vote(url, 'cats')
    let points: { total: number; counts: object }[] = []
    for (const until = Date.now() + 10_000; points.at(-1)?.total !== 1 && Date.now() < until;) {
      const history = (await (await fetch(`${url}/api/polls/told/history?step=1s`)).json()) as {
        step: string
        points: typeof points
      }
      assert.equal(history.step, '1s')
      points = history.points
    }
    assert.deepEqual(points.at(-1)?.counts, { cats: 1, dogs: 0 })
    assert.equal((await fetch(`${url}/api/polls/told/history?step=1y`)).status, 400)
  })

  test('sees the gateways, their sockets and phases', async () => {
    await create('watched')
    const watcher = await watch(url, ['watched'])
    let gateways: { sockets: number; phase: string }[] = []
    for (const until = Date.now() + 10_000; gateways[0]?.sockets !== 1 && Date.now() < until;) {
      gateways = ((await (await ask('GET', '/api/gateways')).json()) as { gateways: typeof gateways }).gateways
    }
    assert.deepEqual(
      gateways.map(({ sockets, phase }) => [sockets, phase]),
      [[1, 'ready']],
    )
    assert.equal((await ask('GET', '/api/gateways', undefined, {})).status, 401)
    watcher.close()
  })

  test('says clearly why a table cannot be counted', async () => {
    const body = { poll: 'foreign', question: '?', options: OPTIONS, source: { table: 'no_such_table', optionColumn: 'vote' } }
    const response = await ask('POST', '/api/polls', body)
    assert.equal(response.status, 422)
    assert.match(((await response.json()) as { detail: string }).detail, /no_such_table.*no such table/)
    assert.equal((await fetch(`${url}/api/polls/foreign`)).status, 404)
  })

  test("takes another program's list of votes into a poll", async (t) => {
    await create('listed', {
      options: [
        { id: 'a', label: 'Cats' },
        { id: 'b', label: 'Dogs' },
      ],
    })
    const list = `${cluster.redis.namespace}-votes`
    await cluster.startBackend({ INGEST_REDIS_LIST: list, INGEST_POLL: 'listed' })
    const redis = new Redis(cluster.redis.url)
    t.after(() => redis.disconnect())
    const watcher = await watch(url, ['listed'])
    await redis.rpush(list, ...['a', 'b', 'b'].map((vote, voter) => JSON.stringify({ voter_id: `v${voter}`, vote })))
    const tally = await watcher.until((frame) => frame.type === 'tally' && frame.total === 3)
    assert.deepEqual(tally.type === 'tally' && tally.counts, { a: 1, b: 2 })
    watcher.close()
  })
})
