import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConfigError, describeVariables, durationMs, lines, list, port, readEnv, secretText, text, url } from './env.ts'
import { loadVariables, type Host } from './load.ts'

const variables = {
  PORT: { schema: port, fallback: '8080', description: 'port to listen on' },
  REDIS_URL: { schema: url('redis:'), description: 'where Redis is', secret: true },
  NOTICE_MS: { schema: durationMs, fallback: '5000', description: 'how long' },
  TOKEN: { schema: secretText(16), description: 'a secret', secret: true, optional: true },
  NAMES: { schema: list(text), fallback: '', description: 'some names' },
}

test('values are decoded, and what is unset or empty takes its default', () => {
  const values = readEnv(variables, { PORT: '', REDIS_URL: 'redis://localhost:6379', NAMES: 'a, b,' })
  assert.deepEqual(values, { PORT: 8080, REDIS_URL: 'redis://localhost:6379', NOTICE_MS: 5000, NAMES: ['a', 'b'] })
})

test('every bad variable is reported at once, and what would be right', () => {
  assert.throws(
    () => readEnv(variables, { PORT: '99999', NOTICE_MS: '5s', TOKEN: 'short-secret' }),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError)
      assert.deepEqual(error.problems, [
        'PORT must be a whole number from 0 to 65535, not "99999"',
        'REDIS_URL is required: where Redis is',
        'NOTICE_MS must be a whole number from 0 to 3600000, not "5s"',
        'TOKEN must have at least 16 characters',
      ])
      return true
    },
  )
})

test('a secret is read from the file that NAME_FILE names, without its last line break', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'livetally-'))
  t.after(() => rmSync(dir, { recursive: true }))
  writeFileSync(join(dir, 'token'), 'a-secret-of-some-length\n')
  const env = { REDIS_URL: 'redis://localhost', TOKEN_FILE: join(dir, 'token') }
  assert.equal(readEnv(variables, env).TOKEN, 'a-secret-of-some-length')
  assert.throws(() => readEnv(variables, { ...env, TOKEN: 'another-secret-here' }), /TOKEN and TOKEN_FILE are both set/)
  assert.throws(() => readEnv(variables, { ...env, TOKEN_FILE: join(dir, 'none') }), /TOKEN_FILE cannot be read/)
})

test('secrets in lines of their own may contain commas, and each is checked', () => {
  const several = { OLD: { schema: lines(secretText(16)), fallback: '', description: 'former secrets', secret: true } }
  assert.deepEqual(readEnv(several, {}).OLD, [])
  const OLD = 'a-secret,with-a-comma\n\n another-secret-here\r\n'
  assert.deepEqual(readEnv(several, { OLD }).OLD, ['a-secret,with-a-comma', 'another-secret-here'])
  assert.throws(() => readEnv(several, { OLD: 'a-secret-of-some-length\nshort' }), /OLD must have at least 16 characters/)
})

test('the value of a secret never shows in an error', () => {
  assert.throws(
    () => readEnv(variables, { REDIS_URL: 'http://user:hunter2@redis' }),
    (error: unknown) => error instanceof ConfigError && !error.message.includes('hunter2'),
  )
})

test('the help names every variable with its default and whether a file may hold it', () => {
  const help = describeVariables(variables)
  assert.match(help, /PORT +8080 +port to listen on/)
  assert.match(help, /REDIS_URL\[_FILE\] +required +where Redis is/)
})

test('an entry exits 0 after --help and 2 on a wrong configuration', () => {
  const run = (argv: string[], env: Record<string, string>) => {
    let [out, err] = ['', '']
    const exited = new Error('exited')
    let code: number | undefined
    const host: Host = {
      argv,
      env,
      stdout: { write: (chunk: string) => (out += chunk) },
      stderr: { write: (chunk: string) => (err += chunk) },
      exit(given) {
        code = given
        throw exited
      },
    }
    assert.throws(() => loadVariables(host, 'A service.', variables), exited)
    return { code, out, err }
  }
  const help = run(['node', 'main.ts', '--help'], {})
  assert.equal(help.code, 0)
  assert.match(help.out, /^A service\.\n\nEnvironment:\n/)
  const wrong = run(['node', 'main.ts'], { PORT: 'x' })
  assert.equal(wrong.code, 2)
  assert.match(wrong.err, /PORT must be a whole number/)
  assert.match(wrong.err, /REDIS_URL is required/)
})
