import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core'

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** Where this machine has its browser; undefined where it has none. `CHROMIUM` names it before all others, and must exist. */
export function findChromium(): string | undefined {
  const given = process.env['CHROMIUM']
  const places = given === undefined ? PLACES : [given]
  return places.find((place) => existsSync(place))
}

const LAUNCH = { args: ['--no-sandbox', '--disable-background-networking'] }

/** Starts the browser. Throws with what to install where there is none. */
export async function launchChromium(): Promise<Browser> {
  return await chromium.launch({ ...LAUNCH, executablePath: executable() })
}

/** Starts the browser with the profile in a directory, and so with the settings that a person has made there. */
export async function launchProfile(directory: string): Promise<BrowserContext> {
  return await chromium.launchPersistentContext(directory, { ...LAUNCH, executablePath: executable(), locale: 'en-GB' })
}

function executable(): string {
  const path = findChromium()
  if (path === undefined) throw new Error('the browser tests need Chromium: apt install chromium, or set CHROMIUM')
  return path
}

/** Not the page's fault, and it recovers: an interface of this machine came or went, which aborts what Chromium is loading. */
const NETWORK_CHANGED = /ERR_NETWORK_CHANGED|Failed to fetch dynamically imported module/

export interface Opening extends BrowserContextOptions {
  /** What a page may complain about in its console, such as a server that the test has stopped. */
  readonly expected?: RegExp
}

/** A page in a profile of its own. The test fails when the page throws, complains, or breaks its content security policy. */
export async function openPage(t: TestContext, browser: Browser, { expected, ...options }: Opening = {}): Promise<Page> {
  const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 390, height: 800 }, ...options })
  const page = await context.newPage()
  const complaints: string[] = []
  const complain = (text: string) => {
    if (!NETWORK_CHANGED.test(text) && expected?.test(text) !== true) complaints.push(text)
  }
  page.on('pageerror', (error) => complain(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complain(message.text())
  })
  // a page reloads itself when a module of its was lost, but not when the very first script was
  page.on('requestfailed', (request) => {
    if (request.url().endsWith('/boot.js') && NETWORK_CHANGED.test(request.failure()?.errorText ?? '')) void page.reload()
  })
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => console.error(`policy violated: ${event.violatedDirective}`))
  })
  t.after(async () => {
    await context.close()
    assert.deepEqual(complaints, [])
  })
  return page
}
