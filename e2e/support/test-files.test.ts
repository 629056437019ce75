import assert from 'node:assert/strict'
import { test } from 'node:test'
import { selected } from './test-files.ts'

const FILES = [
  'backend/ballot-box.test.ts',
  'backend/ballot-store.test.ts',
  'shared/bus/memory-bus.test.ts',
  'shared/protocol/order.test.ts',
]

for (const [pattern, expected] of [
  ['backend', FILES.slice(0, 2)],
  ['./backend/', FILES.slice(0, 2)],
  ['backend/ballot-box', FILES.slice(0, 1)],
  ['backend/ballot-box.test.ts', FILES.slice(0, 1)],
  ['shared/*/m*.test.ts', FILES.slice(2, 3)],
  ['shared/**', FILES.slice(2)],
  ['back', []],
] as const) {
  test(`${pattern} selects ${expected.length} of the files`, () => {
    assert.deepEqual(selected(FILES, [pattern]), expected)
  })
}

test('no pattern selects every file, and several add up', () => {
  assert.deepEqual(selected(FILES, []), FILES)
  assert.deepEqual(selected(FILES, ['backend/ballot-box', 'shared/protocol']), [FILES[0], FILES[3]])
})
