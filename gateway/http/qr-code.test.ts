import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encode } from 'uqr'
import { qrCodeSvg } from './qr-code.ts'

/** Draws the picture's dark path on a grid. */
function rasterise(svg: string): boolean[][] {
  const size = Number(/viewBox="0 0 (\d+) /.exec(svg)?.[1])
  const grid = Array.from({ length: size }, () => Array.from({ length: size }, () => false))
  const dark = svg.slice(svg.lastIndexOf('<path'))
  for (const [, x, y, length] of dark.matchAll(/M(\d+) (\d+)h(\d+)v1/g))
    grid[Number(y)]?.fill(true, Number(x), Number(x) + Number(length))
  return grid
}

test('the picture is the code, module for module', () => {
  const address = 'https://votes.example.org/p/where-do-we-go-for-lunch'
  assert.deepEqual(rasterise(qrCodeSvg(address)), encode(address, { ecc: 'M', border: 4 }).data)
})

test('four light modules surround it, and nothing of the text is in the markup', () => {
  const svg = qrCodeSvg('"><script>alert(1)</script>')
  const grid = rasterise(svg)
  for (const edge of [0, 1, 2, 3]) {
    assert.ok(grid[edge]?.every((isDark) => !isDark))
    assert.ok(grid.every((row) => !row[edge] && !row.at(-1 - edge)))
  }
  assert.doesNotMatch(svg, /script/)
})
