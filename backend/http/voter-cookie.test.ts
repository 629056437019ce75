import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createVoterCookie, type VoterOutcome } from './voter-cookie.ts'

const [OLD, PRESENT] = ['the-secret-of-last-year', 'the-secret-of-this-year']
const create = (secret: string, ...previousSecrets: string[]) => createVoterCookie({ secret, previousSecrets, date: Date.now })
const sent = (setCookie: string) => setCookie.split(';', 1)[0] ?? ''
const voterOf = (outcome: VoterOutcome) => (outcome.kind === 'known' ? outcome.voter : undefined)

for (const isSecure of [false, true]) {
  test(`a cookie signed with a previous secret is good, and signed anew with the present one, isSecure ${isSecure}`, () => {
    const older = sent(create(OLD).issue(isSecure))
    const outcome = create(PRESENT, 'another-previous-secret', OLD).read(older, isSecure)
    assert.equal(outcome.kind, 'known')
    assert.ok(outcome.kind === 'known' && outcome.renewal !== undefined)
    assert.match(outcome.renewal, isSecure ? /^__Host-voter=.*; Secure/ : /^voter=.*HttpOnly/)
    // once the previous secret is gone
    const after = create(PRESENT).read(sent(outcome.renewal), isSecure)
    assert.deepEqual(after, { kind: 'known', voter: outcome.voter, renewal: undefined })
    assert.equal(create(PRESENT).read(older, isSecure).kind, 'forged')
  })
}

test('a cookie signed with the present secret is left as it is, and one signed with neither is forged', () => {
  const present = sent(create(PRESENT).issue(false))
  const outcome = create(PRESENT, OLD).read(present, false)
  assert.deepEqual(outcome, { kind: 'known', voter: voterOf(outcome), renewal: undefined })
  assert.equal(create(PRESENT, OLD).read(sent(create('a-secret-of-somebody-else').issue(false)), false).kind, 'forged')
  for (const odd of ['voter=', 'voter=x', 'voter=x.y', `${present}.more`, present.toUpperCase()]) {
    assert.notEqual(create(PRESENT, OLD).read(odd, false).kind, 'known', odd)
  }
})

test('each of several previous secrets is good, wherever it stands among them', () => {
  const older = sent(create(OLD).issue(true))
  for (const previous of [[OLD], [OLD, 'another'], ['another', OLD], ['another', OLD, 'a third']])
    assert.equal(create(PRESENT, ...previous).read(older, true).kind, 'known', previous.join())
})
