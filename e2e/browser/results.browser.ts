import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { launchChromium, openPage } from './chromium.ts'
import { startInstance, type Instance } from './instance.ts'

const OPTIONS = [
  { id: 'yes', label: 'Yes' },
  { id: 'no', label: 'No' },
]
const SCREEN = { viewport: { width: 1920, height: 1080 } }

let browser: Browser
let instance: Instance
before(async () => {
  ;[browser, instance] = await Promise.all([launchChromium(), startInstance()])
  await instance.create({ poll: 'first', question: 'First?', options: OPTIONS })
  await instance.create({ poll: 'second', question: 'Second?', options: OPTIONS })
  await instance.vote('first', 'yes', 'yes', 'no')
})
after(() => Promise.all([browser.close(), instance[Symbol.asyncDispose]()]))

async function open(t: Parameters<typeof openPage>[0], search = ''): Promise<Page> {
  const page = await openPage(t, browser, SCREEN)
  await page.goto(`${instance.url}/p/first/results${search}`)
  await page.locator('live-tally .badge', { hasText: /^live$/ }).waitFor()
  return page
}

test('the big screen shows question, bars, leader, total, and where to vote, without scrolling', async (t) => {
  const page = await open(t)
  await page.getByRole('heading', { name: 'First?' }).waitFor()
  const [yes = '', no = ''] = await page.locator('live-tally li').allInnerTexts()
  assert.match(yes, /Yes\s+leading\s+67%\s+2 votes/)
  assert.match(no, /No\s+33%\s+1 vote/)
  await page.getByText('3 votes', { exact: true }).waitFor()
  await page.getByRole('link', { name: '/p/first' }).waitFor()
  assert.equal(await page.locator('#qr').evaluate((image: HTMLImageElement) => image.complete && image.naturalWidth > 0), true)
  const fits = await page.evaluate(() => document.documentElement.scrollHeight <= innerHeight)
  assert.ok(fits)
})

test('votes draw a line over time', async (t) => {
  const page = await open(t)
  await instance.vote('first', 'no')
  await page.getByText('Votes over time').waitFor()
  await page.locator('#line[d^="M0 "]').waitFor()
  assert.match((await page.locator('#chart').getAttribute('aria-label')) ?? '', /^Votes over time: [0-3] votes? → 4 votes\./)
})

test('a screen that comes late draws the line from where the poll began', async (t) => {
  await instance.create({ poll: 'late', question: 'Late?', options: OPTIONS })
  const moments = async () => {
    const response = await fetch(`${instance.url}/api/polls/late/history?step=1s`)
    return ((await response.json()) as { points: unknown[] }).points.length
  }
  const sampled = async (count: number) => {
    while ((await moments()) < count) await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await instance.vote('late', 'yes')
  await sampled(1)
  const early = await moments()
  await instance.vote('late', 'yes', 'no')
  await sampled(early + 1)
  const page = await openPage(t, browser, SCREEN)
  await page.goto(`${instance.url}/p/late/results`)
  await page.locator('#line[d^="M0 "]').waitFor()
  assert.match((await page.locator('#chart').getAttribute('aria-label')) ?? '', /^Votes over time: [01] votes? → 3 votes\./)
})

test('keys: h hides the results and shows them, and a reload keeps them hidden', async (t) => {
  const page = await open(t)
  await page.keyboard.press('h')
  await page.getByText('Results are held back.').waitFor()
  assert.ok(!(await page.locator('live-tally').isVisible()))
  await page.reload()
  await page.getByText('Results are held back.').waitFor()
  await page.keyboard.press('h')
  await page.locator('live-tally').waitFor()
})

test('keys: q hides the code and shows it, f fills the screen and leaves it, n goes to the next poll', async (t) => {
  const page = await open(t)
  await page.keyboard.press('q')
  await page.locator('#qr').waitFor({ state: 'hidden' })
  await page.keyboard.press('q')
  await page.locator('#qr').waitFor()
  await page.keyboard.press('f')
  await page.waitForFunction(() => document.fullscreenElement !== null)
  await page.keyboard.press('f')
  await page.waitForFunction(() => document.fullscreenElement === null)
  await page.keyboard.press('n')
  await page.waitForURL('**/p/second/results')
})

test('keys: ? lists them all, each a button that does the same', async (t) => {
  const page = await open(t)
  await page.keyboard.press('?')
  const dialog = page.getByRole('dialog', { name: 'Keys' })
  await dialog.waitFor()
  assert.deepEqual(await dialog.locator('kbd').allTextContents(), ['f', 'h', 'q', 'n', '?'])
  await dialog.getByRole('button', { name: 'hide or show the results' }).click()
  await page.getByText('Results are held back.').waitFor()
  assert.ok(!(await dialog.isVisible()))
})

test('a key with a modifier is left to the browser', async (t) => {
  const page = await open(t)
  await page.keyboard.press('Control+h')
  assert.ok(await page.locator('live-tally').isVisible())
})

test('the overlay is transparent and has nothing but the question and the bars', async (t) => {
  const page = await open(t, '?view=overlay')
  const backgrounds = await page.evaluate(() =>
    [document.documentElement, document.body].map((each) => getComputedStyle(each).backgroundColor),
  )
  assert.deepEqual(backgrounds, ['rgba(0, 0, 0, 0)', 'rgba(0, 0, 0, 0)'])
  for (const gone of ['#qr', '#timeline', '#help', '#state']) assert.ok(!(await page.locator(gone).isVisible()), gone)
  await page.getByRole('heading', { name: 'First?' }).waitFor()
})

test('home lists the polls, open ones first, and leads to each', async (t) => {
  await instance.create({ poll: 'closed-one', question: 'Closed?', options: OPTIONS })
  await instance.edit('closed-one', { state: 'closed' })
  const page = await openPage(t, browser)
  await page.goto(instance.url)
  await page.locator('#polls li').first().waitFor()
  const rows = await page.locator('#polls li').allInnerTexts()
  assert.match(rows.at(-1) ?? '', /Closed\?\s+closed/)
  await page.getByRole('link', { name: 'First?' }).click()
  await page.waitForURL('**/p/first')
})
