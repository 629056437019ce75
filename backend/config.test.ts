import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Host } from '../shared/config/load.ts'
import { loadBackendConfig } from './config.ts'

/** What is written when a service is started with these variables; undefined when it starts. */
function refusalOf(env: Record<string, string>): string | undefined {
  const exited = new Error('exited')
  let written = ''
  const host: Host = {
    argv: [],
    env: {
      DATABASE_URL: 'postgres://db/livetally',
      REDIS_URL: 'redis://redis',
      ADMIN_TOKEN: 'a-token-of-some-length',
      COOKIE_SECRET: 'a secret of some length',
      ...env,
    },
    stdout: { write: () => {} },
    stderr: { write: (text: string) => (written += text) },
    exit() {
      throw exited
    },
  }
  try {
    loadBackendConfig(host)
    return undefined
  } catch (error) {
    if (error !== exited) throw error
    return written
  }
}

test('an admin token that no request could bring is refused at the start, without being shown', () => {
  assert.equal(refusalOf({ ADMIN_TOKEN: 'AZaz09-._~+/AZaz09-._~+/==', ADMIN_TOKEN_PREVIOUS: 'the-one-before-that' }), undefined)
  for (const token of ['a token with spaces', 'ein-schlüssel-für-alle', 'half=way-through-it', 'quoted-"token"-here', 'short']) {
    for (const name of ['ADMIN_TOKEN', 'ADMIN_TOKEN_PREVIOUS']) {
      const refusal = refusalOf({ [name]: token }) ?? ''
      assert.match(refusal, new RegExp(`^  ${name} must have `, 'm'), token)
      assert.ok(!refusal.includes(token))
    }
  }
  assert.match(
    refusalOf({ ADMIN_TOKEN: 'a token with spaces' }) ?? '',
    /ADMIN_TOKEN must have no characters but letters, digits and -\._~\+\/, and = only at its end/,
  )
})
