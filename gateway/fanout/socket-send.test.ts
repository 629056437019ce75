import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import { loadNativeSend, sendByNode, sendNow } from './socket-send.ts'

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

const native = await loadNativeSend()

test('wherever koffi is there, it sends; but on Windows, whose sockets have no descriptors', async () => {
  const isThere = await import('koffi').then(
    () => process.platform !== 'win32',
    () => false,
  )
  assert.equal(native !== undefined, isThere)
  assert.equal(sendNow === sendByNode, native === undefined)
})

for (const [name, send] of [
  ['native', native ?? sendByNode],
  ["Node's own", sendByNode],
] as const) {
  describe(`the ${name} send`, () => {
    test('hands over all bytes, and those of a part of a buffer only', async (t) => {
      const { descriptor, far } = await pair(t)
      assert.equal(send(descriptor, Buffer.from('whole ')), 6)
      assert.equal(send(descriptor, Buffer.from('the middle of it').subarray(4, 10)), 6)
      far.resume()
      const [data] = (await once(far, 'data')) as [Buffer]
      assert.equal(data.toString(), 'whole middle')
    })

    test('says how much a full kernel took, and then that it takes nothing', async (t) => {
      const { descriptor, far } = await pair(t)
      const block = Buffer.alloc(1_000_003, 'x')
      let sent = 0
      let taken = block.length
      while (taken > 0) sent += taken = send(descriptor, block)
      assert.notEqual(sent % block.length, 0, 'the last that was taken was a part of a block')
      far.resume()
      let received = 0
      while (received < sent) received += ((await once(far, 'data')) as [Buffer])[0].length
      assert.equal(received, sent)
    })

    test('takes nothing, and throws nothing, when the peer has reset or there is no such descriptor', async (t) => {
      const { near, descriptor, far } = await pair(t)
      // unread bytes turn the close into a reset
      near.write('unread')
      await once(far, 'readable')
      far.resetAndDestroy()
      await once(far, 'close')
      while (send(descriptor, Buffer.from('x')) > 0) await new Promise((resolve) => setImmediate(resolve))
      assert.equal(send(descriptor, Buffer.from('x')), 0)
      assert.equal(send(999_999, Buffer.from('x')), 0)
    })
  })
}
