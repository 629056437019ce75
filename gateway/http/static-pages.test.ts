import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { loadPages, pageResponse, type Page } from './static-pages.ts'

const HTML = '<!doctype html>'.repeat(100)
let root = ''
let page: Page

before(() => {
  root = mkdtempSync(join(tmpdir(), 'livetally-pages-'))
  for (const dir of ['source', 'compiled/deep']) mkdirSync(join(root, dir), { recursive: true })
  writeFileSync(join(root, 'source/a.html'), HTML)
  writeFileSync(join(root, 'source/secret.txt'), 'no')
  writeFileSync(join(root, 'compiled/deep/b.js'), 'export {}')
  const pages = loadPages({ sourceDir: join(root, 'source'), compiledDir: join(root, 'compiled') })
  assert.deepEqual([...pages.keys()], ['/assets/pages/a.html', '/assets/deep/b.js'])
  page = pages.get('/assets/pages/a.html') as Page
})
after(() => rmSync(root, { recursive: true }))

const answer = async (headers: Record<string, string>) => {
  const response = pageResponse(page, headers)
  return { response, body: Buffer.from(await response.arrayBuffer()) }
}

test('each client gets the best coding it takes, and caches are told that it depends', async () => {
  const cases = [
    ['gzip, deflate, br, zstd', 'br'],
    ['gzip;q=1.0, br;q=0', 'gzip'],
    ['br;q=0.000, gzip;q=0', null],
    ['GZIP', 'gzip'],
    ['deflate', null],
    ['', null],
  ] as const
  for (const [accepted, coding] of cases) {
    const { response, body } = await answer({ 'accept-encoding': accepted })
    assert.equal(response.headers.get('content-encoding'), coding, accepted)
    assert.equal(response.headers.get('vary'), 'accept-encoding')
    const text = coding === 'br' ? brotliDecompressSync(body) : coding === 'gzip' ? gunzipSync(body) : body
    assert.equal(text.toString(), HTML)
  }
})

test('a validator stands for one coding, however a proxy has weakened it', async () => {
  const gzip = { 'accept-encoding': 'gzip' }
  const etag = pageResponse(page, gzip).headers.get('etag') ?? ''
  assert.match(etag, /^"[\w-]+\.gzip"$/)
  for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const { response, body } = await answer({ ...gzip, 'if-none-match': known })
    assert.equal(response.status, 304, known)
    assert.equal(response.headers.get('etag'), etag)
    assert.equal(response.headers.get('vary'), 'accept-encoding')
    assert.equal(body.length, 0)
  }
  for (const unknown of ['"other"', '']) assert.equal((await answer({ ...gzip, 'if-none-match': unknown })).response.status, 200)
  assert.equal((await answer({ 'accept-encoding': 'br', 'if-none-match': etag })).response.status, 200)
})
