/**
 * Runs the tests in a real browser, which it installs where it is missing and can be.
 *
 *   npm run test:browser                               all of them
 *   npm run test:browser -- embed                      those whose names begin so
 *   npm run test:browser -- --test-name-pattern=axe    options go to node --test
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { canInstall, installPackages } from '../support/debian.ts'
import { findChromium } from './chromium.ts'

/** One browser at a time: what these tests wait for should not depend on what else the machine draws. */
const DEFAULTS = ['--test', '--test-concurrency=1', '--test-timeout=120000']

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  if (findChromium() === undefined) {
    const problem = await whyMissing(process.env['CHROMIUM'])
    if (problem !== undefined) {
      console.error(`The browser tests need Chromium: apt install chromium, or set CHROMIUM to its path (${problem}).`)
      return 1
    }
  }
  const options = args.filter((arg) => arg.startsWith('--'))
  const names = args.filter((arg) => !arg.startsWith('--'))
  const files = readdirSync(import.meta.dirname)
    .filter((file) => file.endsWith('.browser.ts') && (names.length === 0 || names.some((name) => file.startsWith(name))))
    .map((file) => join(import.meta.dirname, file))
  if (files.length === 0) {
    console.error(`No browser test is named ${names.join(' or ')}.`)
    return 1
  }
  const child = spawn(process.execPath, [...DEFAULTS, ...options, ...files.toSorted()], { stdio: 'inherit' })
  // Ctrl-C reaches the child by itself; it ends its browsers and so do we
  process.on('SIGINT', () => {})
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal])
}

/** Installs the browser where that can be done; resolves to what is in the way, if anything is. */
async function whyMissing(given: string | undefined): Promise<string | undefined> {
  if (given !== undefined) return `CHROMIUM is ${given}, where there is nothing`
  return (await canInstall()) ? await install() : 'this is no Debian or Ubuntu, or we are not root'
}

/** Resolves to what went wrong, on one line. */
async function install(): Promise<string | undefined> {
  console.error('Chromium is missing: installing it.')
  try {
    await installPackages(['chromium'])
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).split('\n')[0]
  }
  return findChromium() === undefined ? 'the package brought no browser' : undefined
}
