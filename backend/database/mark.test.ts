import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMarks, isLater } from './mark.ts'

const secret = 'a-secret-for-tests'
const marks = createMarks({ secret })
const mark = { identity: '7123456789012345678:2:5:16384', epoch: 59_939_113, lsn: '1/A00000F0' }

test('a mark is read as it was written, also when its secret has been replaced since', () => {
  assert.deepEqual(marks.read(marks.write(mark)), mark)
  const replaced = createMarks({ secret: 'another-secret-for-tests', previousSecrets: [secret] })
  assert.deepEqual(replaced.read(marks.write(mark)), mark)
})

test('a mark that was made up, changed or signed by somebody else is none', () => {
  const text = marks.write(mark)
  const others = createMarks({ secret: 'another-secret-for-tests' })
  for (const planted of [
    undefined,
    '',
    ' ',
    'nonsense',
    text.replace('59939113', '1999999999'),
    text.slice(0, -1),
    others.write(mark),
  ]) {
    assert.equal(marks.read(planted), undefined, `read ${planted}`)
  }
})

test('a mark is later by its epoch, then by its place in the log', () => {
  const earlier = [{ ...mark, lsn: '1/9FFFFFFF' }, { ...mark, lsn: '0/B00000F0' }, { ...mark, epoch: 1, lsn: '2/0' }, undefined]
  for (const than of earlier) {
    assert.ok(isLater(mark, than))
    if (than !== undefined) assert.ok(!isLater(than, mark))
  }
  assert.ok(!isLater(mark, mark))
})
