/** What a page makes of answers that are not Livetally's: a balancer's own, or those of a login in front of it. */
import { once } from 'node:events'
import { createServer, request as ask, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { after, before, test, type TestContext } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { launchChromium, openPage } from './chromium.ts'
import { startInstance, type Instance } from './instance.ts'

const OPTIONS = [
  { id: 'cats', label: 'Cats' },
  { id: 'dogs', label: 'Dogs' },
]
const HTML = { 'content-type': 'text/html' }
const LOGIN = '<!doctype html><title>Sign in</title><form><input name="user"></form>'

/** Each answers a request in place of Livetally. */
const FAULTS: Readonly<Record<string, (response: ServerResponse) => void>> = {
  '502 with a page': (response) => response.writeHead(502, HTML).end('<html><h1>502 Bad Gateway</h1></html>'),
  '503 with nothing': (response) => response.writeHead(503).end(),
  '404 in plain text, of a balancer that has lost its routes': (response) =>
    response.writeHead(404, { 'content-type': 'text/plain' }).end('404 page not found\n'),
  '403 with a page': (response) => response.writeHead(403, HTML).end('<html>Forbidden</html>'),
  'a challenge of the proxy': (response) =>
    response.writeHead(401, { ...HTML, 'www-authenticate': 'Negotiate' }).end('<html>Who are you?</html>'),
  '400 with nothing': (response) => response.writeHead(400).end(),
  '200 with a login page': (response) => response.writeHead(200, HTML).end(LOGIN),
  '200 with a login page that says it is JSON': (response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(LOGIN),
  '200 with nothing': (response) => response.writeHead(200, { 'content-length': '0' }).end(),
  '204, which has nothing': (response) => response.writeHead(204).end(),
  'a redirect to a login page': (response) => response.writeHead(302, { location: '/login' }).end(),
  'a redirect that repeats the vote elsewhere': (response) =>
    response.writeHead(307, { location: 'http://127.0.0.1:9/login' }).end(),
  'an answer that is cut': (response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
    response.write('{"poll":')
    setTimeout(() => response.destroy(), 20)
  },
}

const NEVER: (request: IncomingMessage) => boolean = () => false

let browser: Browser
let instance: Instance
before(async () => {
  ;[browser, instance] = await Promise.all([launchChromium(), startInstance()])
})
after(() => Promise.all([browser.close(), instance[Symbol.asyncDispose]()]))

/** A balancer that passes everything on, but for what `fault` answers. It counts those answers. */
async function startBalancer(t: TestContext) {
  const { hostname, port } = new URL(instance.url)
  const sockets = new Set<Socket>()
  const balancer = {
    url: '',
    isFaulty: NEVER,
    fault: FAULTS['503 with nothing'],
    faults: 0,
  }
  const server = createServer((incoming, outgoing) => {
    if (incoming.url === '/login') return void outgoing.writeHead(200, HTML).end(LOGIN)
    if (balancer.isFaulty(incoming)) {
      balancer.faults += 1
      return balancer.fault?.(outgoing)
    }
    const { method, headers, url: path } = incoming
    const passed = ask({ hostname, port, method, path, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(outgoing)
    })
    passed.on('error', () => outgoing.destroy())
    incoming.pipe(passed)
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  server.on('upgrade', (incoming: IncomingMessage, socket: Socket, head: Buffer) => {
    const peer = connect(Number(port), hostname)
    sockets.add(peer)
    peer.on('error', () => socket.destroy())
    const { rawHeaders: raw } = incoming
    const lines = raw.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${raw[index + 1]}`] : []))
    peer.write(`GET ${incoming.url} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
    peer.write(head)
    peer.pipe(socket).pipe(peer)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  balancer.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return balancer
}

const receipt = (page: Page, text: string | RegExp) => page.locator('#receipt', { hasText: text }).waitFor()

for (const [index, [answer, fault]] of Object.entries(FAULTS).entries()) {
  test(`a vote that is answered by ${answer} is kept and sent again until Livetally has it`, async (t) => {
    const poll = `vote-${index}`
    await instance.create({ poll, question: 'Votes?', options: OPTIONS, changeAllowed: false })
    const balancer = await startBalancer(t)
    balancer.fault = fault
    const page = await openPage(t, browser, { expected: /Failed to load resource|ERR_/ })
    await page.goto(`${balancer.url}/p/${poll}`)
    const cats = page.getByRole('button', { name: 'Cats' })
    await cats.waitFor()
    balancer.isFaulty = ({ method }) => method === 'PUT'
    await cats.click()
    await receipt(page, 'Your vote for Cats is kept and sent again until it is counted.')
    balancer.isFaulty = NEVER
    await receipt(page, 'Your vote for Cats is counted.')
  })

  test(`a page whose poll is answered by ${answer} says that it tries again, and shows the poll then`, async (t) => {
    const poll = `read-${index}`
    await instance.create({ poll, question: 'Reads?', options: OPTIONS })
    const balancer = await startBalancer(t)
    balancer.fault = fault
    balancer.isFaulty = ({ url = '' }) => url.startsWith('/api/')
    const page = await openPage(t, browser, { expected: /Failed to load resource|ERR_|blocked by CORS/ })
    await page.goto(`${balancer.url}/p/${poll}`)
    await page.getByText('The poll cannot be loaded at present. Trying again…').waitFor()
    balancer.isFaulty = NEVER
    await page.getByRole('button', { name: 'Cats' }).waitFor()
  })
}
