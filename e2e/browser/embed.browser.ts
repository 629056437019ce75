import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { launchChromium, openPage } from './chromium.ts'
import { startInstance, type Instance } from './instance.ts'

const OPTIONS = [
  { id: 'yes', label: 'Yes' },
  { id: 'no', label: 'No' },
]
/** More polls than one connection follows. */
const MANY = Array.from({ length: 17 }, (_, index) => `many-${index + 1}`)
/** What a browser says of what it did not let a page have. */
const REFUSED = /CORS|ERR_FAILED|frame-ancestors|Framing|Failed to load resource|WebSocket connection|403/

/** Another site, with the pages that its author would write from docs/embedding.md. */
interface Site {
  readonly origin: string
  readonly server: Server
}

let browser: Browser
let instance: Instance
let friend: Site
let stranger: Site
before(async () => {
  ;[friend, stranger] = await Promise.all([startSite(), startSite()])
  ;[browser, instance] = await Promise.all([launchChromium(), startInstance({ ALLOWED_ORIGINS: friend.origin })])
  await instance.create({ poll: 'shown', question: 'Shown elsewhere?', options: OPTIONS })
  await instance.vote('shown', 'yes', 'yes', 'no')
  for (const poll of MANY) await instance.create({ poll, question: `Is this ${poll}?`, options: OPTIONS })
})
after(async () => {
  for (const { server } of [friend, stranger]) {
    server.close()
    server.closeAllConnections()
  }
  await Promise.all([browser.close(), instance[Symbol.asyncDispose]()])
})

async function startSite(): Promise<Site> {
  const server = createServer((request, response) => {
    const { url } = instance
    const bodies: Readonly<Record<string, string>> = {
      '/script':
        `<script type="module" src="${url}/assets/gateway/web/live-tally.js"></script>` +
        '<style>live-tally { --live-tally-bar-height: 40px } live-tally::part(label) { color: rgb(1, 2, 3) }</style>' +
        '<live-tally poll="shown"></live-tally>',
      '/many':
        `<script type="module" src="${url}/assets/gateway/web/live-tally.js"></script>` +
        [...MANY.slice(0, 5), 'nowhere', ...MANY.slice(5)].map((poll) => `<live-tally poll="${poll}"></live-tally>`).join(''),
      '/frame': `<iframe src="${url}/p/shown/results?view=overlay" title="Results" width="640" height="360"></iframe>`,
      '/code': `<img src="${url}/p/shown/qr.svg" alt="Where to vote">`,
      '/vote-frame': `<iframe src="${url}/p/shown" title="Vote"></iframe>`,
      '/admin-frame': `<iframe src="${url}/admin" title="Admin"></iframe>`,
    }
    const policy = `default-src 'none'; script-src ${url}; connect-src ${url} ${url.replace('http', 'ws')}; frame-src ${url}; style-src 'unsafe-inline'; img-src data: ${url}`
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy })
    response.end(
      `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Elsewhere</title>${bodies[request.url ?? ''] ?? ''}`,
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}

async function visit(t: Parameters<typeof openPage>[0], site: Site, path: string, expected?: RegExp): Promise<Page> {
  const page = await openPage(t, browser, expected ? { expected } : {})
  await page.goto(site.origin + path)
  return page
}

const inFrame = (page: Page, path: string) => page.frames().filter((frame) => frame.url().startsWith(instance.url + path))

test('one script tag on an allowed origin shows the poll, live, in the looks of that page', async (t) => {
  const page = await visit(t, friend, '/script')
  const row = page.locator('live-tally li', { hasText: 'Yes' })
  await row.filter({ hasText: /67%\s+2 votes/ }).waitFor()
  await page.getByText('Shown elsewhere?').waitFor()
  assert.equal(await row.locator('.label').evaluate((label) => getComputedStyle(label).color), 'rgb(1, 2, 3)')
  assert.equal(await row.locator('.track').evaluate((track) => getComputedStyle(track).height), '40px')
  await instance.vote('shown', 'yes')
  await row.filter({ hasText: /75%\s+3 votes/ }).waitFor()
})

test('of eighteen polls on a page one that there is not says so, and the others are live; one that is created later is found', async (t) => {
  const page = await visit(t, friend, '/many')
  const tally = (poll: string) => page.locator(`live-tally[poll="${poll}"]`)
  for (const poll of MANY) {
    await tally(poll).getByText(`Is this ${poll}?`).waitFor()
    await tally(poll)
      .locator('.badge', { hasText: /^live$/ })
      .waitFor()
  }
  await tally('nowhere')
    .locator('.badge', { hasText: /^no such poll$/ })
    .waitFor()
  for (const poll of [MANY[0] ?? '', MANY[16] ?? '']) {
    await instance.vote(poll, 'yes')
    await tally(poll)
      .locator('li', { hasText: 'Yes' })
      .filter({ hasText: /100%\s+1 vote/ })
      .waitFor()
  }
  await instance.create({ poll: 'nowhere', question: 'Here after all?', options: OPTIONS })
  await tally('nowhere').evaluate((element) => element.replaceWith(element.cloneNode()))
  await tally('nowhere').getByText('Here after all?').waitFor()
  await tally(MANY[0] ?? '')
    .locator('.badge', { hasText: /^live$/ })
    .waitFor()
})

test('the same script tag elsewhere loads nothing', async (t) => {
  const page = await visit(t, stranger, '/script', REFUSED)
  const failed = await page.evaluate(async (url) => {
    const loads = [import(`${url}/assets/gateway/web/live-tally.js`), fetch(`${url}/api/polls/shown`)]
    return (await Promise.allSettled(loads)).map(({ status }) => status)
  }, instance.url)
  assert.deepEqual(failed, ['rejected', 'rejected'])
  assert.equal(await page.evaluate(() => customElements.get('live-tally')), undefined)
})

test('a socket is refused to a page of another origin, who may not follow the poll without our script either', async (t) => {
  const page = await visit(t, stranger, '/', REFUSED)
  const ended = await page.evaluate(
    (url) =>
      new Promise((resolve) => {
        const socket = new WebSocket(`${url.replace('http', 'ws')}/ws?poll=shown`, 'livetally.v1')
        socket.addEventListener('message', () => resolve('a frame'))
        socket.addEventListener('close', ({ code }) => resolve(code))
      }),
    instance.url,
  )
  assert.equal(ended, 1006)
})

test('results in a frame: on an allowed origin yes, elsewhere no', async (t) => {
  const page = await visit(t, friend, '/frame')
  const frame = page.frameLocator('iframe')
  await frame.getByRole('heading', { name: 'Shown elsewhere?' }).waitFor()
  await frame.locator('live-tally li', { hasText: 'Yes' }).waitFor()
  const refused = await visit(t, stranger, '/frame', REFUSED)
  await refused.waitForFunction(() => document.querySelector('iframe')?.contentDocument === null)
  assert.deepEqual(inFrame(refused, '/p/shown/results'), [])
})

test('the code that leads to the vote is a picture for other pages', async (t) => {
  const page = await visit(t, friend, '/code')
  const image = page.getByAltText('Where to vote')
  assert.ok((await image.evaluate((element: HTMLImageElement) => element.decode().then(() => element.naturalWidth))) > 0)
})

test('no page on which something can be done is framed, not even by a friend', async (t) => {
  for (const [path, framed] of [
    ['/vote-frame', '/p/shown'],
    ['/admin-frame', '/admin'],
  ] as const) {
    const page = await visit(t, friend, path, REFUSED)
    await page.waitForFunction(() => document.querySelector('iframe')?.contentDocument === null)
    assert.deepEqual(inFrame(page, framed), [], path)
  }
})

test('an allowed page of the same site votes as the browser it runs in; a stranger votes for nobody', async (t) => {
  await instance.create({ poll: 'from-afar', question: 'From afar?', options: OPTIONS })
  const cast = (url: string) =>
    fetch(`${url}/api/polls/from-afar`, { credentials: 'include' })
      .then(() =>
        fetch(`${url}/api/polls/from-afar/vote`, {
          method: 'PUT',
          credentials: 'include',
          headers: { 'content-type': 'application/json' },
          body: '{"option":"yes"}',
        }),
      )
      .then(
        ({ status }) => status,
        () => 'refused',
      )
  const page = await visit(t, friend, '/')
  assert.equal(await page.evaluate(cast, instance.url), 200)
  const other = await visit(t, stranger, '/', REFUSED)
  assert.equal(await other.evaluate(cast, instance.url), 'refused')
  assert.equal((await instance.read('from-afar')).tally.total, 1)
})
