import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'node:test'
import { ADMIN_TOKEN, COOKIE_SECRET, startCluster } from './support/cluster.ts'
import { freePort } from './support/free-port.ts'

const POLL = {
  poll: 'cats-or-dogs',
  question: 'Cats or dogs?',
  options: [
    { id: 'cats', label: 'Cats' },
    { id: 'dogs', label: 'Dogs' },
  ],
}
const NEW_SECRET = 'another-cookie-secret-for-tests'
const NEW_TOKEN = 'another-admin-token-for-tests'
const VOTERS = 20
const READERS = 10

/** The three steps of docs/operating.md, each of which restarts one backend after the other. */
const STEPS = [
  { COOKIE_SECRET, COOKIE_SECRET_PREVIOUS: NEW_SECRET, ADMIN_TOKEN, ADMIN_TOKEN_PREVIOUS: NEW_TOKEN },
  {
    COOKIE_SECRET: NEW_SECRET,
    COOKIE_SECRET_PREVIOUS: COOKIE_SECRET,
    ADMIN_TOKEN: NEW_TOKEN,
    ADMIN_TOKEN_PREVIOUS: ADMIN_TOKEN,
  },
  { COOKIE_SECRET: NEW_SECRET, ADMIN_TOKEN: NEW_TOKEN },
]

test('secrets are replaced in three steps under load: nobody is refused, and nobody gets a second ballot', async (t) => {
  const ports = [await freePort(), await freePort()]
  const cluster = await startCluster({ backends: 0, gateways: 0 })
  t.after(() => cluster[Symbol.asyncDispose]())
  for (const port of ports) await cluster.startBackend({ PORT: String(port) })
  const { url } = await cluster.startGateway()
  assert.equal((await cluster.admin('POST', '/api/polls', POLL)).status, 201)

  const path = `${url}/api/polls/${POLL.poll}`
  const refusals: string[] = []
  let [answered, renewed] = [0, 0]

  /** A browser: it sends the cookie that it was given last. */
  const createBrowser = async () => {
    let cookie = ''
    const ask = async (address: string, method = 'GET', body?: object) => {
      const headers = { cookie, 'content-type': 'application/json' }
      const answer = await fetch(address, { method, headers, ...(body && { body: JSON.stringify(body) }) })
      const given = answer.headers.getSetCookie()[0]?.split(';', 1)[0]
      if (given !== undefined && cookie !== '') {
        renewed += 1
        const voterOf = (signed: string) => signed.split('.', 1)[0]
        if (voterOf(given) !== voterOf(cookie)) refusals.push(`a browser became another voter: ${given}`)
      }
      cookie = given ?? cookie
      const said = await answer.text()
      if (answer.status !== 200) refusals.push(`${answer.status} ${said}`)
      answered += 1
    }
    await ask(path)
    return {
      read: () => ask(`${path}/vote`),
      vote: (option: string) => ask(`${path}/vote`, 'PUT', { option }),
    }
  }
  const voters = await Promise.all(Array.from({ length: VOTERS + READERS }, createBrowser))
  for (const { vote } of voters) await vote('cats')

  const over = new AbortController()
  const keep = async (work: (turn: number) => Promise<void>) => {
    for (let turn = 0; !over.signal.aborted; turn += 1) {
      await work(turn)
      await delay(10)
    }
  }
  let tokens = [ADMIN_TOKEN]
  const organise = async () => {
    for (const token of tokens) {
      const answer = await fetch(`${url}/api/gateways`, { headers: { authorization: `Bearer ${token}` } })
      if (answer.status !== 200) refusals.push(`${answer.status} for the organiser with ${token}: ${await answer.text()}`)
      else await answer.body?.cancel()
    }
  }
  const load = voters.map(({ vote, read }, index) =>
    // some only look, so that it is an answer to a read that gives them their new cookie
    keep((turn) => (index < VOTERS ? vote(turn % 2 === 0 ? 'cats' : 'dogs') : read())),
  )
  load.push(keep(organise))

  const running = [...cluster.backends]
  for (const [step, secrets] of STEPS.entries()) {
    // whoever organises changes over between the first step and the last
    if (step === 1) tokens = [ADMIN_TOKEN, NEW_TOKEN]
    if (step === 2) tokens = [NEW_TOKEN]
    if (step === 2) {
      // the last step waits until everybody has been there once since the second
      const before = answered
      while (answered < before + 5 * voters.length) await delay(20)
    }
    for (const [index, port] of ports.entries()) {
      assert.equal((await running[index]?.child.stop())?.code, 0)
      running[index] = await cluster.startBackend({ PORT: String(port), ...secrets })
    }
  }
  over.abort()
  await Promise.all(load)
  assert.deepEqual([...new Set(refusals)], [])
  t.diagnostic(`${answered} answers, ${renewed} cookies renewed`)
  assert.ok(renewed >= voters.length)
  const { tally } = (await (await fetch(path)).json()) as { tally: { total: number } }
  assert.equal(tally.total, voters.length)

  const old = await fetch(`${url}/api/gateways`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } })
  assert.equal(old.status, 401)
})
