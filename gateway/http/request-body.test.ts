import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { createBodyReader } from './request-body.ts'

/** A request with this body. */
function message(body: string): IncomingMessage {
  const stream = Object.assign(new PassThrough(), { headers: { 'content-length': String(body.length) } })
  stream.end(body)
  // the reader looks at no more of a request than its headers and its bytes
  return stream as unknown as IncomingMessage
}

test('so many large bodies are under way together, and small ones are read whatever else comes', async () => {
  const read = createBodyReader()
  const large = await Promise.all(Array.from({ length: 256 }, () => read(message('x'.repeat(65_536)))))
  assert.ok(large.every(({ body }) => Buffer.isBuffer(body)))
  const { body: refused } = await read(message('x'.repeat(2_049)))
  assert.ok(refused instanceof Response)
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '1'])
  assert.ok(Buffer.isBuffer((await read(message('x'.repeat(2_048)))).body))
  large[0]?.release()
  large[0]?.release()
  assert.ok(Buffer.isBuffer((await read(message('x'.repeat(2_049)))).body))
  assert.ok((await read(message('x'.repeat(2_049)))).body instanceof Response, 'a place is given back once')
})

test('who leaves before the end of a large body gives its place back', async () => {
  const read = createBodyReader()
  for (let time = 0; time < 300; time += 1) {
    const stream = Object.assign(new PassThrough(), { headers: { 'content-length': '65536' } })
    // as above
    const reading = read(stream as unknown as IncomingMessage)
    stream.write('x'.repeat(4_096))
    setImmediate(() => stream.destroy(new Error('aborted')))
    await assert.rejects(reading, /aborted/)
  }
  assert.ok(Buffer.isBuffer((await read(message('x'.repeat(4_096)))).body))
})
