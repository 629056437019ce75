import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { hasNativeSend, sendNow } from './socket-send.ts'

/** The two ends of a TCP connection; the second does not read. */
async function pair(t: TestContext): Promise<{ near: Socket; descriptor: number; far: Socket }> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection')
  const far = connect((server.address() as AddressInfo).port, '127.0.0.1')
  far.pause()
  const [near] = (await accepted) as [Socket & { _handle: { fd: number } }]
  near.on('error', () => {})
  far.on('error', () => {})
  t.after(() => {
    near.destroy()
    far.destroy()
    server.close()
  })
  const { _handle: handle } = near
  return { near, descriptor: handle.fd, far }
}

test('wherever koffi is there, it sends; but on Windows, whose sockets have no descriptors', async () => {
  const isThere = await import('koffi').then(
    () => process.platform !== 'win32',
    () => false,
  )
  assert.equal(hasNativeSend, isThere)
})

test('all bytes are handed over, and those of a part of a buffer only', { skip: !hasNativeSend }, async (t) => {
  const { descriptor, far } = await pair(t)
  assert.equal(sendNow(descriptor, Buffer.from('whole ')), 6)
  assert.equal(sendNow(descriptor, Buffer.from('the middle of it').subarray(4, 10)), 6)
  far.resume()
  const [data] = (await once(far, 'data')) as [Buffer]
  assert.equal(data.toString(), 'whole middle')
})

test('a full kernel takes a part, and then nothing', { skip: !hasNativeSend }, async (t) => {
  const { descriptor, far } = await pair(t)
  const block = Buffer.alloc(1_000_003, 'x')
  let sent = 0
  let taken = block.length
  while (taken > 0) sent += taken = sendNow(descriptor, block)
  assert.notEqual(sent % block.length, 0, 'the last that was taken was a part of a block')
  far.resume()
  let received = 0
  while (received < sent) received += ((await once(far, 'data')) as [Buffer])[0].length
  assert.equal(received, sent)
})

test(
  'nothing is taken, and nothing thrown, when the peer has reset or there is no such descriptor',
  { skip: !hasNativeSend },
  async (t) => {
    const { near, descriptor, far } = await pair(t)
    // unread bytes turn the close into a reset
    near.write('unread')
    await once(far, 'readable')
    far.resetAndDestroy()
    await once(far, 'close')
    while (sendNow(descriptor, Buffer.from('x')) > 0) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(sendNow(descriptor, Buffer.from('x')), 0)
    assert.equal(sendNow(999_999, Buffer.from('x')), 0)
  },
)
