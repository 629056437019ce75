/** `npm run bench:client`: requests to a backend through undici and through `node:http` with a keep-alive agent, in alternation. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { Pool } from 'undici'
import { interleave, median } from '../votes/sample.ts'

interface Asked {
  readonly method: 'GET' | 'PUT'
  readonly path: string
  readonly headers: Record<string, string>
  readonly body?: Buffer
}

const ROUNDS = 5
const ROUND_MS = 1_200
const CONNECTIONS = 1_024

const backend = fork(new URL('backend.ts', import.meta.url))
const [port] = (await once(backend, 'message')) as [number]
const pool = new Pool(`http://127.0.0.1:${port}`, { connections: CONNECTIONS })
const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS, maxFreeSockets: CONNECTIONS })

const contenders: Readonly<Record<string, (asked: Asked) => Promise<unknown>>> = {
  'node:http': async ({ body, ...options }) => {
    const request = httpRequest({ ...options, agent, port, host: '127.0.0.1' }).end(body)
    const [answer] = (await once(request, 'response')) as [IncomingMessage]
    return new Response(new Uint8Array(await buffer(answer)), { status: answer.statusCode ?? 0 })
  },
  undici: async ({ body, ...options }) => {
    const answer = await pool.request({ ...options, ...(body === undefined ? {} : { body }) })
    return new Response(await answer.body.arrayBuffer(), { status: answer.statusCode })
  },
}

const vote = { poll: 'tea', body: '{"option":"yes"}', cookie: `voter=${'x'.repeat(80)}`, isSecure: false, requestId: 'abcdefg' }
const bundle = (votes: number): Asked => ({
  method: 'PUT',
  path: '/votes',
  headers: { 'content-type': 'application/json' },
  body: Buffer.from(JSON.stringify(Array.from({ length: votes }, () => vote))),
})
const cases: readonly (readonly [name: string, asked: Asked, inFlight: number])[] = [
  ['small GET', { method: 'GET', path: '/api/polls/tea', headers: { cookie: vote.cookie } }, 64],
  ['PUT of one vote', bundle(1), 1],
  ['PUT of 20 votes', bundle(20), 8],
  ['PUT of 300 votes', bundle(300), 4],
]

/** Processor time of this process for one request, in µs. */
async function cost(send: (asked: Asked) => Promise<unknown>, asked: Asked, inFlight: number): Promise<number> {
  const [before, until] = [process.cpuUsage(), performance.now() + ROUND_MS]
  let requests = 0
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      for (; performance.now() < until; requests += 1) await send(asked)
    }),
  )
  const { user, system } = process.cpuUsage(before)
  return (user + system) / requests
}

for (const [name, asked, inFlight] of cases) {
  const runs = Object.entries(contenders).map(([contender, send]) => [contender, () => cost(send, asked, inFlight)] as const)
  for (const [, run] of runs) await run() // until the engine has compiled what is hot
  const results = await interleave(Object.fromEntries(runs), ROUNDS)
  const medians = Object.entries(results).map(([contender, values]) => `${contender} ${median(values).toFixed(1)} µs`)
  console.log(`${name}: ${medians.join(', ')}`)
}
backend.disconnect()
await pool.close()
agent.destroy()
