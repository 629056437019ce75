import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Browser, Page, Request } from 'playwright-core'
import { launchChromium, launchProfile, openPage } from './chromium.ts'
import { ADMIN_TOKEN, startInstance, type Instance } from './instance.ts'

const OPTIONS = [
  { id: 'cats', label: 'Cats' },
  { id: 'dogs', label: 'Dogs' },
]
const UNREACHABLE = /Failed to load resource|WebSocket connection|ERR_/

let browser: Browser
let instance: Instance
before(async () => {
  ;[browser, instance] = await Promise.all([launchChromium(), startInstance()])
})
after(() => Promise.all([browser.close(), instance[Symbol.asyncDispose]()]))

const receipt = (page: Page, text: string | RegExp) => page.locator('#receipt', { hasText: text }).waitFor()
const badge = (page: Page, text: string | RegExp) => page.locator('live-tally .badge', { hasText: text }).waitFor()
const row = (page: Page, label: string, numbers: RegExp) =>
  page.locator('live-tally li', { hasText: label }).filter({ hasText: numbers }).waitFor()

async function cookiesOf(page: Page): Promise<string> {
  const cookies = await page.context().cookies(page.url())
  return cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
}

async function open(t: Parameters<typeof openPage>[0], poll: string, options?: Parameters<typeof openPage>[2]): Promise<Page> {
  const page = await openPage(t, browser, options)
  await page.goto(`${instance.url}/p/${poll}`)
  await badge(page, 'live')
  return page
}

test('a vote in one browser moves the bars in another', async (t) => {
  await instance.create({ poll: 'two', question: 'Two browsers?', options: OPTIONS })
  const [one, other] = await Promise.all([open(t, 'two'), open(t, 'two')])
  await other.getByText('No votes yet').first().waitFor()
  await one.getByRole('button', { name: 'Cats' }).click()
  await receipt(one, 'Your vote for Cats is counted.')
  await row(other, 'Cats', /100%\s+1 vote/)
  await other.getByRole('button', { name: 'Dogs' }).click()
  await row(one, 'Cats', /50%\s+1 vote/)
})

test('a change of mind moves the vote, and a reload keeps the choice', async (t) => {
  await instance.create({ poll: 'mind', question: 'Changed?', options: OPTIONS })
  const page = await open(t, 'mind')
  await page.getByRole('button', { name: 'Cats' }).click()
  await receipt(page, 'Your vote for Cats is counted.')
  await page.getByRole('button', { name: 'Dogs' }).click()
  await receipt(page, 'Your vote for Dogs is counted.')
  await row(page, 'Cats', /0%\s+0 votes/)
  await page.reload()
  await receipt(page, 'Your vote for Dogs is counted.')
  assert.equal(await page.getByRole('button', { name: 'Dogs' }).getAttribute('aria-pressed'), 'true')
})

test('where ballots stand for good, the second tap is answered with the first', async (t) => {
  await instance.create({ poll: 'once', question: 'Once?', options: OPTIONS, changeAllowed: false })
  const page = await open(t, 'once', { expected: /409/ })
  await page.getByRole('button', { name: 'Cats' }).click()
  await receipt(page, 'Your vote for Cats is counted.')
  await page.getByRole('button', { name: 'Dogs' }).click()
  await receipt(page, 'It cannot be changed.')
  assert.ok(await page.getByRole('button', { name: 'Dogs' }).isDisabled())
  assert.equal(await page.getByRole('button', { name: 'Cats' }).getAttribute('aria-pressed'), 'true')
})

test('after a reset the page takes back that the vote counts, and the next vote counts', async (t) => {
  await instance.create({ poll: 'reset', question: 'Reset?', options: OPTIONS, changeAllowed: false })
  const page = await open(t, 'reset')
  await page.getByRole('button', { name: 'Cats' }).click()
  await receipt(page, 'Your vote for Cats is counted.')
  await instance.reset('reset')
  await receipt(page, 'Tap an answer to vote.')
  await page.getByText('No votes yet').first().waitFor()
  assert.doesNotMatch(await page.locator('#receipt').innerText(), /counted/)
  assert.equal(await page.locator('button.choice[aria-pressed=true]').count(), 0)
  await page.reload()
  await receipt(page, 'Tap an answer to vote.')
  await page.getByRole('button', { name: 'Dogs' }).click()
  await receipt(page, 'Your vote for Dogs is counted.')
  await row(page, 'Dogs', /100%\s+1 vote/)
})

test('a new epoch in which the ballot still stands, as after a failover: the page asks, and says again that it counts', async (t) => {
  await instance.create({ poll: 'failover', question: 'Failover?', options: OPTIONS })
  const page = await openPage(t, browser)
  let epochsLater = 0
  let announce = () => {}
  const later = <Tally extends { epoch: number }>(tally: Tally) => ({ ...tally, epoch: tally.epoch + epochsLater })
  await page.routeWebSocket('**/ws*', (socket) => {
    const server = socket.connectToServer()
    server.onMessage((message) => {
      const frame = JSON.parse(String(message)) as { type: string; epoch: number }
      if (frame.type === 'tally') announce = () => socket.send(JSON.stringify(later(frame)))
      socket.send(message)
    })
  })
  await page.route('**/api/polls/failover', async (route) => {
    const response = await route.fetch()
    const view = (await response.json()) as { tally: { epoch: number } }
    await route.fulfill({ response, json: { ...view, tally: later(view.tally) } })
  })
  await page.goto(`${instance.url}/p/failover`)
  await badge(page, 'live')
  await page.getByRole('button', { name: 'Cats' }).click()
  await receipt(page, 'Your vote for Cats is counted.')
  await row(page, 'Cats', /100%\s+1 vote/)
  epochsLater = 1
  announce()
  await receipt(page, 'Counting has begun anew. Looking whether your vote is in it…')
  await receipt(page, 'Your vote for Cats is counted.')
})

test('a vote whose option was withdrawn is said not to count, by its label, until another is chosen', async (t) => {
  const kept = [...OPTIONS, { id: 'owls', label: 'Owls' }]
  const withdrawn = { id: 'b7', label: 'Birds' }
  await instance.create({ poll: 'withdrawn', question: 'Withdrawn?', options: [...kept, withdrawn] })
  const page = await open(t, 'withdrawn')
  const said = /^Birds was withdrawn\.\s*Your vote no longer counts\. Tap another\.$/
  await page.getByRole('button', { name: 'Birds' }).click()
  await receipt(page, 'Your vote for Birds is counted.')
  await instance.edit('withdrawn', { options: kept })
  await receipt(page, said)
  await page.reload()
  await receipt(page, said)
  await instance.edit('withdrawn', { options: [...kept, { ...withdrawn, label: 'Birds again' }] })
  await receipt(page, 'Your vote for Birds again is counted.')
  await instance.edit('withdrawn', { options: kept })
  await receipt(page, 'Birds again was withdrawn.')
  await page.evaluate(() => localStorage.clear())
  await page.reload()
  await receipt(page, /^Your answer was withdrawn\./)
  await page.getByRole('button', { name: 'Dogs' }).click()
  await receipt(page, 'Your vote for Dogs is counted.')
})

test('a deleted poll is said to be gone: its buttons are off, and nothing calls it open', async (t) => {
  await instance.create({ poll: 'removed', question: 'Removed?', options: OPTIONS })
  const page = await open(t, 'removed', { expected: /404/ })
  const german = await open(t, 'removed', { expected: /404/, locale: 'de-DE' })
  await page.getByRole('button', { name: 'Cats' }).click()
  await receipt(page, 'Your vote for Cats is counted.')
  await instance.remove('removed')
  await receipt(page, /^This poll was removed\.$/)
  await receipt(german, /^Diese Umfrage wurde gelöscht\.$/)
  assert.equal(await page.locator('#state').innerText(), 'removed')
  assert.equal(await german.locator('#state').innerText(), 'gelöscht')
  assert.equal(await page.locator('button.choice:enabled').count(), 0)
  await page.reload()
  await page.getByText('There is no such poll.').waitFor()
  assert.ok(await page.locator('#state').isHidden())
})

test('a tap on a poll that was deleted unseen is answered with that', async (t) => {
  await instance.create({ poll: 'unseen', question: 'Unseen?', options: OPTIONS })
  const page = await openPage(t, browser, { expected: /404/ })
  await page.routeWebSocket('**/ws*', () => {})
  await page.goto(`${instance.url}/p/unseen`)
  await page.getByRole('button', { name: 'Cats' }).waitFor()
  await instance.remove('unseen')
  await page.getByRole('button', { name: 'Cats' }).click()
  await receipt(page, /^This poll was removed\.$/)
  assert.equal(await page.locator('#state').innerText(), 'removed')
})

test('every vote of a browser has a higher order than the one before, also over a reload and in another tab', async (t) => {
  await instance.create({ poll: 'order', question: 'Order?', options: OPTIONS })
  const page = await open(t, 'order', { expected: UNREACHABLE })
  const orders: unknown[] = []
  let lost = true
  await page.context().route('**/api/polls/order/vote', async (route) => {
    const { option, order } = route.request().postDataJSON() as { option: string; order?: number }
    if (order !== undefined && orders.at(-1) !== `${option} ${order}`) orders.push(`${option} ${order}`)
    await (lost ? route.abort() : route.continue())
  })
  await page.getByRole('button', { name: 'Cats' }).click()
  await receipt(page, 'is kept and sent again')
  const other = await page.context().newPage()
  await other.goto(`${instance.url}/p/order`)
  await other.getByRole('button', { name: 'Dogs' }).click()
  await receipt(other, 'is kept and sent again')
  lost = false
  await receipt(other, 'Your vote for Dogs is counted.')
  await receipt(page, 'Your vote for Dogs is counted.')
  await page.reload()
  await receipt(page, 'Your vote for Dogs is counted.')
  await page.getByRole('button', { name: 'Cats' }).click()
  await receipt(page, 'Your vote for Cats is counted.')
  await receipt(other, 'Your vote for Cats is counted.')
  assert.deepEqual(
    orders.filter((each, index) => orders.indexOf(each) === index),
    ['cats 1', 'dogs 2', 'cats 3'],
  )
})

test('a vote that was given up and arrives late does not replace the one that is called counted', async (t) => {
  await instance.create({ poll: 'late', question: 'Late?', options: OPTIONS })
  const page = await open(t, 'late', { expected: UNREACHABLE })
  const { promise: held, resolve: hold } = Promise.withResolvers<Request>()
  await page.route('**/vote', async (route) => {
    hold(route.request())
    await route.abort()
  })
  await page.getByRole('button', { name: 'Cats' }).click()
  await receipt(page, 'is kept and sent again')
  const late = await held
  const headers = { ...(await late.allHeaders()), cookie: await cookiesOf(page) }
  await page.getByRole('button', { name: 'Dogs' }).click()
  await page.unroute('**/vote')
  await receipt(page, 'Your vote for Dogs is counted.')
  const answer = await fetch(late.url(), { method: 'PUT', headers, body: late.postData() })
  assert.equal(answer.status, 409, await answer.text())
  await page.reload()
  await receipt(page, 'Your vote for Dogs is counted.')
  await row(page, 'Dogs', /100%\s+1 vote/)
})

test('the holders of two tickets share a browser, and each vote is counted', async (t) => {
  await instance.create({ poll: 'family', question: 'Family?', options: OPTIONS, policy: 'ticket' })
  const issued = await fetch(`${instance.url}/api/polls/family/tickets`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ count: 3 }),
  })
  const [, first = '', second = '', third = ''] = (await issued.text()).split('\r\n')
  const page = await openPage(t, browser, { expected: UNREACHABLE })
  await page.route('**/vote', (route) => route.abort())
  await page.goto(first)
  await page.getByRole('button', { name: 'Cats' }).click()
  await receipt(page, 'is kept and sent again')
  const other = await page.context().newPage()
  await other.goto(second)
  await other.getByRole('button', { name: 'Dogs' }).click()
  await receipt(other, 'Your vote for Dogs is counted.')
  await page.reload()
  await receipt(page, 'is kept and sent again')
  await page.unroute('**/vote')
  await receipt(page, 'Your vote for Cats is counted.')
  assert.deepEqual((await instance.read('family')).tally.counts, { cats: 1, dogs: 1 })

  // one tab, one after the other: what the first could not send is not sent as the second's
  await other.route('**/vote', (route) => route.abort())
  await other.getByRole('button', { name: 'Cats' }).click()
  await receipt(other, 'is kept and sent again')
  await other.goto(third)
  await receipt(other, 'Tap an answer to vote.')
  await other.unroute('**/vote')
  await other.getByRole('button', { name: 'Dogs' }).click()
  await receipt(other, 'Your vote for Dogs is counted.')
  assert.deepEqual((await instance.read('family')).tally.counts, { cats: 1, dogs: 2 })
})

test('closed while someone looks at it: said at once, and no tap is taken', async (t) => {
  await instance.create({ poll: 'closing', question: 'Closing?', options: OPTIONS })
  const page = await open(t, 'closing')
  await instance.edit('closing', { state: 'closed' })
  await page.getByText('This poll is closed.').waitFor()
  assert.ok(await page.getByRole('button', { name: 'Cats' }).isDisabled())
  await instance.edit('closing', { state: 'open' })
  await page.locator('button.choice:enabled').first().waitFor()
})

test('counts shown after voting only: nothing before, bars after', async (t) => {
  await instance.create({ poll: 'secret', question: 'Secret?', options: OPTIONS, visibility: 'after-vote' })
  await instance.vote('secret', 'cats', 'dogs', 'dogs')
  const page = await open(t, 'secret')
  await page.getByText('3 votes so far. Results are shown later.').first().waitFor()
  await page.getByRole('button', { name: 'Dogs' }).click()
  await row(page, 'Dogs', /75%\s+3 votes/)
})

test('server restarted under the page: never blank, never stale numbers shown as live, the tap kept until it is counted', async (t) => {
  await instance.create({ poll: 'restart', question: 'Restarted?', options: OPTIONS })
  await instance.vote('restart', 'cats', 'cats', 'dogs')
  const page = await open(t, 'restart', { expected: UNREACHABLE })
  await row(page, 'Cats', /67%/)
  await page.evaluate(() => {
    const watched = { blanks: 0, badges: [] as string[] }
    Object.assign(globalThis, { watched })
    setInterval(() => {
      const root = document.querySelector('live-tally')?.shadowRoot
      if (root?.querySelectorAll('.row').length !== 2) watched.blanks++
      const text = root?.querySelector('.badge')?.textContent ?? ''
      if (watched.badges.at(-1) !== text) watched.badges.push(text)
    }, 20)
  })
  await instance.stop()
  await badge(page, /^reconnecting · as of \d\d:\d\d:\d\d$/)
  await page.getByRole('button', { name: 'Dogs' }).click()
  await receipt(page, 'Your vote for Dogs is kept and sent again until it is counted.')
  await instance.start()
  await receipt(page, 'Your vote for Dogs is counted.')
  await badge(page, /^live$/)
  await row(page, 'Dogs', /50%\s+2 votes/)
  // what the script injected above wrote down in the page, of which no type knows
  const watched = await page.evaluate(() => (globalThis as unknown as { watched: { blanks: number; badges: string[] } }).watched)
  assert.equal(watched.blanks, 0)
  assert.deepEqual(
    watched.badges.map((text) => text.replace(/ · .*/, '')),
    ['live', 'reconnecting', 'live'],
  )
})

test('offline and back: the tap waits, survives a reload, and is counted', async (t) => {
  await instance.create({ poll: 'offline', question: 'Offline?', options: OPTIONS })
  const page = await open(t, 'offline', { expected: UNREACHABLE })
  await page.context().setOffline(true)
  await page.getByRole('button', { name: 'Cats' }).click()
  await receipt(page, 'is kept and sent again')
  await page.context().setOffline(false)
  await receipt(page, 'Your vote for Cats is counted.')
  await page.evaluate(() => sessionStorage.setItem('livetally:offline', 'dogs'))
  await page.reload()
  await receipt(page, 'Your vote for Dogs is counted.')
})

test('where the browser blocks cookies the page says so, and what to do, instead of sending for ever', async (t) => {
  await instance.create({ poll: 'cookieless', question: 'Cookieless?', options: OPTIONS })
  const profile = await mkdtemp(join(tmpdir(), 'livetally-cookieless-'))
  // as the setting "block all cookies" writes it
  await mkdir(join(profile, 'Default'))
  await writeFile(
    join(profile, 'Default', 'Preferences'),
    JSON.stringify({ profile: { default_content_setting_values: { cookies: 2 } } }),
  )
  const context = await launchProfile(profile)
  t.after(async () => {
    await context.close()
    await rm(profile, { recursive: true, force: true })
  })
  const page = context.pages()[0] ?? (await context.newPage())
  const votes: string[] = []
  page.on('request', (request) => request.method() === 'PUT' && votes.push(request.url()))
  await page.goto(`${instance.url}/p/cookieless`)
  assert.deepEqual(await context.cookies(), [])
  await page.getByRole('button', { name: 'Cats' }).click()
  await receipt(page, /Your vote for Cats is not counted: this browser keeps no cookies of this page\./)
  await receipt(page, /Allow cookies for it, and tap your answer again\./)
  assert.equal(votes.length, 2)
  await page.getByRole('button', { name: 'Dogs' }).click()
  await receipt(page, /Your vote for Dogs is not counted/)
  assert.equal(votes.length, 4)
})

test('no such poll is said, not spun on', async (t) => {
  const page = await openPage(t, browser, { expected: /404/ })
  await page.goto(`${instance.url}/p/nowhere`)
  await page.getByText('There is no such poll.').waitFor()
})

test('a German reader gets German', async (t) => {
  await instance.create({ poll: 'sprache', question: 'Sprache?', options: OPTIONS })
  const page = await open(t, 'sprache', { locale: 'de-AT' })
  await page.getByRole('button', { name: 'Cats' }).click()
  await receipt(page, 'Deine Stimme für Cats zählt.')
  assert.equal(await page.locator('html').getAttribute('lang'), 'de')
})

test('paused numbers stand still and say so, until resumed', async (t) => {
  await instance.create({ poll: 'pause', question: 'Pause?', options: OPTIONS })
  await instance.vote('pause', 'cats')
  const page = await open(t, 'pause')
  await page.getByRole('button', { name: 'Pause updates' }).click()
  await badge(page, /^paused · as of/)
  await instance.vote('pause', 'dogs')
  const other = await open(t, 'pause')
  await row(other, 'Dogs', /50%/)
  await row(page, 'Cats', /100%/)
  await page.getByRole('button', { name: 'Resume updates' }).click()
  await row(page, 'Dogs', /50%/)
})

test('a vote that is refused because too many come from its address is kept, says so, and is counted later by itself', async (t) => {
  const crowded = await startInstance({ VOTES_PER_ADDRESS: '2' })
  t.after(() => crowded[Symbol.asyncDispose]())
  await crowded.create({ poll: 'hall', question: 'From a hall?', options: OPTIONS })
  const page = await openPage(t, browser, { expected: UNREACHABLE })
  await page.goto(`${crowded.url}/p/hall`)
  await badge(page, 'live')
  // takes both votes that the address has in ten seconds: one to get a cookie, one to vote
  await crowded.vote('hall', 'dogs')
  await page.getByRole('button', { name: 'Cats' }).click()
  await receipt(page, /Very many votes come from your network.* Your vote for Cats is kept and sent again in \d+ s\./)
  await receipt(page, 'Your vote for Cats is counted.')
  await row(page, 'Cats', /50%\s+1 vote/)
})
