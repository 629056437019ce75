import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { README, withVariables } from '../infra/docs/readme-variables.ts'

const WRITE_IT_ANEW = 'the README and the configurations differ: run `npm run docs:variables`'

test('the README has the variables of all entries as their configurations describe them', async () => {
  const readme = await readFile(README, 'utf8')
  assert.equal(readme, withVariables(readme), WRITE_IT_ANEW)
})

test('a change of the table shows', async () => {
  const readme = await readFile(README, 'utf8')
  const changed = readme.replace(/^\| `MAX_SOCKETS` .*\n/m, '')
  assert.notEqual(changed, readme)
  assert.equal(withVariables(changed), readme)
})

test('a README without its markers is refused', () => {
  assert.throws(() => withVariables('# Livetally\n'), /no markers/)
})
