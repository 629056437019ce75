import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { selected, testFiles } from '../support/test-files.ts'
import { loadMutants, mutated } from './mutant.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const mutants = await loadMutants()

test('every planted fault still has its place in the code, and changes it', async () => {
  const unfit: string[] = []
  for (const [name, mutant] of mutants) {
    const files = await mutated(ROOT, mutant).catch((error: unknown) => void unfit.push(`${name}: ${String(error)}`))
    for (const [file, text] of files ?? [])
      if (text === (await readFile(path.join(ROOT, file), 'utf8'))) unfit.push(`${name} changes nothing in ${file}`)
  }
  assert.deepEqual(unfit, [])
})

test('the tests that are to notice a planted fault are there, and the fault is in the list', async () => {
  const files = await testFiles(ROOT)
  const list = await readFile(path.join(ROOT, 'docs/testing.md'), 'utf8')
  for (const [name, { tests }] of mutants) {
    for (const prefix of tests) assert.notDeepEqual(selected(files, [prefix]), [], `${name}: ${prefix}`)
    assert.ok(list.includes(`\`${name}\``), `${name} is not in docs/testing.md`)
  }
})

test('a change has to fit in exactly one place', async () => {
  const change = (find: string) => ({ changes: [{ file: 'gateway/access/network.ts', find, replace: '' }] })
  await assert.rejects(mutated(ROOT, change('no such text')), /has 0 places, and not one, that read "no such text"/)
  await assert.rejects(mutated(ROOT, change('const ')), /places, and not one/)
  await assert.rejects(mutated(ROOT, change('export function networkOf(address: string): string {')))
})
