import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { launchChromium, openPage } from './chromium.ts'
import { ADMIN_TOKEN, startInstance, type Instance } from './instance.ts'

const SCREENSHOTS = fileURLToPath(new URL('../screenshots/', import.meta.url))
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const WIDTHS = [320, 768, 1920]

const OPTIONS = [
  { id: 'tea', label: 'Tea' },
  { id: 'coffee', label: 'Coffee' },
]
const SOUP = { id: 'soup', label: 'Soup of the day' }

interface Look {
  readonly name: string
  readonly path: string
  readonly prepare?: (page: Page) => Promise<unknown>
}

const live = (page: Page) => page.locator('live-tally .badge', { hasText: 'live' }).waitFor()
const signedIn = async (page: Page) => {
  await page.getByLabel('Admin token').fill(ADMIN_TOKEN)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.locator('.poll').first().waitFor()
  await page.locator('#server-rows tr').first().waitFor()
}
const voted = async (page: Page) => {
  await live(page)
  await page.locator('.choice').nth(2).click()
  await page.locator('#receipt[data-kind=counted]').waitFor()
}
/** Votes for an option that is then withdrawn. */
const withdrawn = async (page: Page) => {
  await instance.edit('menu', { options: [...OPTIONS, SOUP] })
  await live(page)
  await page.getByRole('button', { name: 'Soup' }).click()
  await page.locator('#receipt[data-kind=counted]').waitFor()
  await instance.edit('menu', { options: OPTIONS })
  await page.locator('#receipt[data-kind=withdrawn]').waitFor()
}
/** Has the poll of the page deleted, and created anew for the next page. */
const removed = async (page: Page) => {
  await live(page)
  await instance.remove('doomed')
  await page.locator('#receipt[data-kind=removed]').waitFor()
  await instance.create({ poll: 'doomed', question: 'For how long?', options: OPTIONS })
}
const LOOKS: readonly Look[] = [
  { name: 'home', path: '/', prepare: (page) => page.locator('#polls li').first().waitFor() },
  { name: 'vote', path: '/p/lunch', prepare: voted },
  { name: 'vote-closed', path: '/p/over', prepare: live },
  { name: 'vote-withdrawn', path: '/p/menu', prepare: withdrawn },
  { name: 'vote-removed', path: '/p/doomed', prepare: removed },
  { name: 'vote-none', path: '/p/fresh', prepare: live },
  { name: 'vote-ticket', path: '/p/members', prepare: live },
  { name: 'results', path: '/p/lunch/results', prepare: live },
  { name: 'results-two', path: '/p/over/results', prepare: live },
  {
    name: 'keys',
    path: '/p/over/results',
    prepare: async (page) => {
      await live(page)
      await page.keyboard.press('?')
    },
  },
  { name: 'admin-sign-in', path: '/admin', prepare: (page) => page.getByLabel('Admin token').waitFor() },
  { name: 'admin', path: '/admin', prepare: signedIn },
  {
    name: 'admin-editor',
    path: '/admin',
    prepare: async (page) => {
      await signedIn(page)
      await page.getByRole('button', { name: 'Edit: Tea or coffee?' }).click()
      await page.getByRole('dialog').waitFor()
    },
  },
  {
    name: 'admin-confirm',
    path: '/admin',
    prepare: async (page) => {
      await signedIn(page)
      await page.getByRole('button', { name: 'Reset: Tea or coffee?' }).click()
      await page.getByRole('alertdialog').waitFor()
    },
  },
  {
    name: 'admin-withdraw',
    path: '/admin',
    prepare: async (page) => {
      await signedIn(page)
      await page.getByRole('button', { name: 'Edit: Where do we go for lunch on Friday' }).click()
      await page.getByRole('button', { name: 'Remove option 1' }).click()
      await page.getByRole('button', { name: 'Save' }).click()
      await page.getByRole('alertdialog').waitFor()
    },
  },
  {
    name: 'admin-tickets',
    path: '/admin',
    prepare: async (page) => {
      await signedIn(page)
      await page.getByRole('button', { name: 'Tickets: Members only?' }).click()
      await page.getByRole('dialog').waitFor()
    },
  },
  {
    name: 'docs',
    path: '/docs',
    prepare: async (page) => {
      await live(page)
      await page.locator('.operation', { hasText: 'Cast or change' }).locator('summary').click()
    },
  },
  { name: 'overlay', path: '/p/over/results?view=overlay', prepare: live },
]

let browser: Browser
let instance: Instance
before(async () => {
  mkdirSync(SCREENSHOTS, { recursive: true })
  ;[browser, instance] = await Promise.all([launchChromium(), startInstance()])
  const many = ['Thai place by the river', 'Pizza', 'Falafel with far too many pickles', 'Stay in', 'Sushi', 'Nothing for me']
  const options = many.map((label, index) => ({ id: `o${index}`, label }))
  await instance.create({ poll: 'lunch', question: 'Where do we go for lunch on Friday, everyone who comes along?', options })
  await instance.create({ poll: 'over', question: 'Tea or coffee?', options: OPTIONS })
  await instance.create({ poll: 'fresh', question: 'Has anyone voted here?', options: OPTIONS })
  await instance.create({ poll: 'members', question: 'Members only?', options: OPTIONS, policy: 'ticket' })
  await instance.create({ poll: 'menu', question: 'What is left?', options: [...OPTIONS, SOUP] })
  await instance.create({ poll: 'doomed', question: 'For how long?', options: OPTIONS })
  await instance.vote('lunch', 'o0', 'o0', 'o0', 'o1', 'o2', 'o2', 'o3', 'o4', 'o4', 'o5')
  await instance.vote('over', 'tea', 'tea', 'coffee')
  await instance.edit('over', { state: 'closed' })
})
after(() => Promise.all([browser.close(), instance[Symbol.asyncDispose]()]))

for (const { name, path, prepare } of LOOKS) {
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of WIDTHS) {
      test(`${name}, ${colorScheme}, ${width} px: nothing sticks out, and axe finds no fault`, async (t) => {
        const viewport = { width, height: width === 1920 ? 1080 : 800 }
        const page = await openPage(t, browser, { viewport, colorScheme, reducedMotion: 'reduce' })
        await page.goto(instance.url + path)
        await prepare?.(page)
        await page.screenshot({ path: `${SCREENSHOTS}${name}-${width}-${colorScheme}.png`, fullPage: width < 1920 })
        const overflowing = await page.evaluate(() =>
          [document.documentElement, ...document.querySelectorAll('dialog[open]')]
            .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)
            .map(({ tagName }) => tagName),
        )
        assert.deepEqual(overflowing, [], 'wider than the screen or its dialog')
        // an overlay lies on a picture that axe cannot see
        if (name === 'overlay') return
        await page.evaluate(AXE)
        const faults = await page.evaluate(async () => {
          interface Axe {
            run(): Promise<{ violations: { id: string; nodes: { target: unknown }[] }[] }>
          }
          // runs in the page, where axe was put a moment ago and no type knows of it
          const { violations } = await (globalThis as unknown as { axe: Axe }).axe.run()
          return violations.map(({ id, nodes }) => `${id}: ${JSON.stringify(nodes.map(({ target }) => target))}`)
        })
        assert.deepEqual(faults, [])
      })
    }
  }
}
