import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

/** All that a page needs for its first picture, as it would travel, without the API's answers. */
const LIMIT_BYTES = 30 * 1024
const PAGES = ['index.html', 'vote.html', 'results.html', 'admin.html', 'docs.html']

const root = fileURLToPath(new URL('../../../', import.meta.url))
let out = ''

before(() => {
  out = mkdtempSync(join(tmpdir(), 'livetally-pages-'))
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  execFileSync(process.execPath, [compiler, '-p', join(root, 'gateway/web'), '--outDir', out])
})
after(() => rmSync(out, { recursive: true }))

/** The URLs of all modules that the module at `url` imports, directly or not. */
function importsOf(url: string, found = new Set<string>()): Set<string> {
  const path = join(out, url.slice('/assets/'.length))
  for (const [, specifier = ''] of readFileSync(path, 'utf8').matchAll(/^(?:import|export) .*from '(.+)';$/gm)) {
    const imported = `/assets/${relative(out, resolve(path, '..', specifier))}`
    if (found.has(imported)) continue
    found.add(imported)
    importsOf(imported, found)
  }
  return found
}

function linksOf(html: string, pattern: RegExp): string[] {
  return [...html.matchAll(pattern)].map(([, url = '']) => url)
}

for (const page of PAGES) {
  const html = readFileSync(join(root, 'gateway/web/pages', page), 'utf8')
  const [boot = ''] = linksOf(html, /<script type="module" src="([^"]+)">/g)
  const [name = ''] = linksOf(html, /<body data-script="([^"]+)">/g)
  const script = `/assets/gateway/web/pages/${name}.js`

  test(`${page} asks for every module at once instead of finding one after the other`, () => {
    const wanted = new Set([script, ...importsOf(script), ...importsOf(boot)])
    assert.deepEqual(linksOf(html, /<link rel="modulepreload" href="([^"]+)"/g), [...wanted].toSorted())
  })

  test(`${page} weighs 30 kB gzip at most, with everything it loads`, (t) => {
    const styles = linksOf(html, /(?:href|src)="\/assets\/pages\/([^"]+)"/g).map((file) => join(root, 'gateway/web/pages', file))
    const modules = [boot, script, ...importsOf(script), ...importsOf(boot)].map((url) => join(out, url.slice('/assets/'.length)))
    const bytes = [...new Set([...styles, ...modules])].map((path) => gzipSync(readFileSync(path)).length)
    const total = bytes.reduce((sum, each) => sum + each, gzipSync(html).length)
    t.diagnostic(`${total} bytes in ${bytes.length + 1} files`)
    assert.ok(total <= LIMIT_BYTES, `${total} bytes`)
  })

  test(`${page} has no script or style of its own, which its policy would refuse`, () => {
    assert.doesNotMatch(html, /<style|style=|<script(?![^>]* src=)|\son\w+=|javascript:/i)
  })
}
