import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import { connectCluster } from './redis-cluster.ts'
import { parseRedisUrl } from './redis-url.ts'

/** The words of each command in what a client sends, which is whole in each packet of these tests. */
function* commandsIn(bytes: string): Generator<string[]> {
  for (const command of bytes.split(/^\*\d+\r\n/m).filter((text) => text !== '')) {
    yield command.split('\r\n').filter((_, index) => index % 2 === 1)
  }
}

/** A node that says what a test wants of the cluster, since a real one cannot be slow at one command alone. */
async function startNode(t: TestContext, answer: (command: readonly string[]) => string | Promise<string>) {
  const clients = new Set<Socket>()
  const server = createServer((client) => {
    clients.add(client.on('error', () => {}))
    let answered = Promise.resolve()
    client.setEncoding('latin1').on('data', (bytes: string) => {
      for (const command of commandsIn(bytes)) answered = answered.then(async () => void client.write(await answer(command)))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const client of clients) client.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

test(
  'a channel whose slot comes back before the other node had subscribed it stays subscribed',
  { timeout: 20_000 },
  async (t) => {
    let owner = 0
    const ports: number[] = []
    /** What the first node hears of channels. */
    const heard: string[] = []
    const [asked, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const slots = (first: number, last: number, node: number) =>
      `*3\r\n:${first}\r\n:${last}\r\n*2\r\n$9\r\n127.0.0.1\r\n:${ports[node]}\r\n`
    const answerOf =
      (node: 0 | 1) =>
      ([name = '', ...words]: readonly string[]) => {
        const [word = ''] = words
        const kind = name.toLowerCase()
        if (kind === 'cluster') return `*3\r\n${slots(0, 0, 0)}${slots(1, 16_382, owner)}${slots(16_383, 16_383, 1)}`
        if (kind === 'get') return node === owner ? '$-1\r\n' : `-MOVED 1 127.0.0.1:${ports[owner]}\r\n`
        if (kind === 'spublish') return ':0\r\n'
        if (kind === 'hello') return '%0\r\n'
        if (kind === 'quit') return '+OK\r\n'
        if (kind !== 'ssubscribe' && kind !== 'sunsubscribe') return `-ERR ${kind}\r\n`
        const answer = `*3\r\n$${kind.length}\r\n${kind}\r\n$${word.length}\r\n${word}\r\n:1\r\n`
        if (node === 0) heard.push(`${kind} ${word}`)
        if (node === 0 || kind === 'sunsubscribe') return answer
        asked.resolve()
        return answered.promise.then(() => answer)
      }
    ports.push(await startNode(t, answerOf(0)), await startNode(t, answerOf(1)))
    const servers = await connectCluster({
      address: parseRedisUrl(`redis+cluster://127.0.0.1:${ports[0]}`),
      scripts: {},
      ownChannel: 'own',
      onMessage: () => {},
      onLost: () => {},
    })
    t.after(() => servers.close())
    await servers.subscribe('news')
    owner = 1
    await servers.at('tea', (redis) => redis.get('tea'))
    await asked.promise
    owner = 0
    await servers.at('tea', (redis) => redis.get('tea'))
    while (heard.length < 2) await delay(20)
    answered.resolve()
    await delay(500)
    assert.deepEqual(heard, ['ssubscribe news', 'ssubscribe news'])
  },
)
