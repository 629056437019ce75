/** Every image is named by its version and its digest, and in the same way wherever it is named. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const FILES = globSync(
  ['compose.yaml', '.ci/*', 'infra/**/*.{yaml,yml}', 'infra/images/Dockerfile', 'infra/kubernetes*/**/*.yaml', 'e2e/**/*.ts'],
  { cwd: ROOT },
)
/** What a public image may stand behind: a variable's default, an argument, a field or a text. */
const PUBLIC_IMAGE =
  /(?<![/\w])(?<name>node|postgres|redis|traefik|haproxy):(?<rest>v?\d[\w.-]*(?:@sha256:[0-9a-f]+)?)(?=['"}\s]|$)/gm

const found = FILES.flatMap((file) =>
  [...readFileSync(join(ROOT, file), 'utf8').matchAll(PUBLIC_IMAGE)].map(({ groups }) => ({
    file,
    name: groups?.['name'] ?? '',
    image: `${groups?.['name']}:${groups?.['rest']}`,
  })),
)

test('every public image has a whole version and a digest', () => {
  for (const { file, image } of found) assert.match(image, /^[a-z]+:v?\d+\.\d+(?:\.\d+)?(?:-[a-z]+)?@sha256:[0-9a-f]{64}$/, file)
})

for (const name of ['node', 'postgres', 'redis', 'traefik', 'haproxy']) {
  test(`all files name the same ${name}, which compose.yaml is the first to name`, () => {
    const named = found.filter((each) => each.name === name)
    const [first] = named.filter(({ file }) => file === 'compose.yaml')
    assert.ok(first)
    for (const { file, image } of named) assert.equal(image, first.image, file)
  })
}

test('the files are those that name images', () => {
  const files = new Set(found.map(({ file }) => file))
  for (const file of [
    'infra/swarm/stack.yml',
    'infra/kubernetes/redis.yaml',
    'infra/images/Dockerfile',
    'e2e/deploy/engine.ts',
    'infra/haproxy/stack.yml',
  ]) {
    assert.ok(files.has(file), file)
  }
})
