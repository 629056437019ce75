/** Votes over HTTP, through gateway and backend, against an endpoint that parses the same body and answers. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { serializeSigned } from 'hono/utils/cookie'
import { uuidV7 } from '../../backend/polls/voter-id.ts'
import { COOKIE_SECRET, startCluster } from '../../e2e/support/cluster.ts'
import { interleave, median } from './sample.ts'
import { OPTIONS } from './scene.ts'

/** Voters in flight, as in the ballot box's own figure. */
const CONNECTIONS = 1_024
const WARM_UP_MS = 6_000
const POLL = 'over-http'

export interface HttpFigures {
  /** Acknowledged votes per second. */
  readonly livetally: number
  /** Requests per second of the endpoint that only parses. */
  readonly parser: number
}

export async function measureHttp(
  databaseUrl: string,
  redisUrl: string,
  options: { rounds: number; roundMs: number },
): Promise<HttpFigures> {
  const parser = fork(new URL('./http-parser.ts', import.meta.url))
  const [parserPort] = (await once(parser, 'message')) as [number]
  await using cluster = await startCluster({ servers: { databaseUrl, redisUrl }, env: { VOTES_PER_ADDRESS: '0' } })
  const target = new URL(cluster.gateways[0]?.url ?? '')
  const created = await cluster.admin('POST', '/api/polls', {
    poll: POLL,
    question: 'Which?',
    options: OPTIONS.map((id) => ({ id, label: id })),
  })
  if (created.status !== 201) throw new Error(await created.text())
  // signing cookies is no part of what is measured
  const cookies: string[] = []
  for (let i = 0; i < 20_000; i++) {
    cookies.push((await serializeSigned('voter', uuidV7(Date.now() - i), COOKIE_SECRET)).split(';', 1)[0] ?? '')
  }
  try {
    // until the engines have compiled what is hot
    for (const port of [Number(target.port), parserPort]) await load(port, cookies, WARM_UP_MS)
    const results = await interleave(
      {
        livetally: () => load(Number(target.port), cookies, options.roundMs),
        parser: () => load(parserPort, cookies, options.roundMs),
      },
      options.rounds,
    )
    return { livetally: median(results['livetally'] ?? []), parser: median(results['parser'] ?? []) }
  } finally {
    parser.kill('SIGTERM')
  }
}

/** Answers of 200 per second over so many connections, each with one request on its way. */
export async function load(port: number, cookies: readonly string[], ms: number): Promise<number> {
  let answered = 0
  const startedAt = performance.now()
  await Promise.all(
    Array.from(
      { length: CONNECTIONS },
      () =>
        new Promise<void>((resolve, reject) => {
          const socket = connect(port, '127.0.0.1')
          let buffer = ''
          const send = () => {
            const body = JSON.stringify({ option: OPTIONS[Math.floor(Math.random() * OPTIONS.length)] })
            const cookie = cookies[Math.floor(Math.random() * cookies.length)]
            socket.write(
              `PUT /api/polls/${POLL}/vote HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\nCookie: ${cookie}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
            )
          }
          socket.setNoDelay(true)
          socket.once('connect', send)
          socket.once('error', reject)
          socket.setEncoding('latin1')
          socket.on('data', (chunk: string) => {
            buffer += chunk
            const end = buffer.indexOf('\r\n\r\n')
            if (end < 0) return
            const head = buffer.slice(0, end)
            const length = /content-length: (\d+)/i.exec(head)?.[1]
            const complete = length === undefined ? buffer.endsWith('0\r\n\r\n') : buffer.length >= end + 4 + Number(length)
            if (!complete) return
            if (!head.startsWith('HTTP/1.1 200')) return reject(new Error(buffer.slice(0, 500)))
            buffer = ''
            answered++
            if (performance.now() - startedAt < ms) send()
            else resolve(void socket.destroy())
          })
        }),
    ),
  )
  return (answered * 1_000) / (performance.now() - startedAt)
}
