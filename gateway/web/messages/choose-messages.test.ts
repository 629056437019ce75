import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseMessages } from './choose-messages.ts'
import { de } from './de.ts'
import { en } from './en.ts'

test("the first language on the reader's list that there are messages for is taken", () => {
  assert.equal(chooseMessages(['fr-CH', 'de-AT', 'en']), de)
  assert.equal(chooseMessages(['en-GB', 'de']), en)
  assert.equal(chooseMessages(['DE']), de)
})

test('without a match it is English', () => {
  assert.equal(chooseMessages(['fr', 'deo']), en)
  assert.equal(chooseMessages([]), en)
})

test('no language has an empty message', () => {
  const check = (value: unknown, path: string): void => {
    if (typeof value === 'string') assert.notEqual(value.trim(), '', path)
    else if (typeof value === 'object' && value) for (const [key, each] of Object.entries(value)) check(each, `${path}.${key}`)
    else if (typeof value === 'function') assert.ok(value.length > 0, `${path} takes what it speaks of`)
  }
  check(en, 'en')
  check(de, 'de')
})
