/** Sends bytes to a socket's descriptor by one system call, with as little around it as possible (docs/adr/0014). */
import { writeSync } from 'node:fs'

/**
 * Offers bytes to the kernel for a connected, non-blocking socket, and returns how many it took: 0 when its buffer is full or the
 * peer has gone. The caller gives the rest to the stream, which tells the two apart. Never throws.
 */
export type DescriptorSend = (descriptor: number, bytes: Buffer) => number

/** Sends with Node's `writeSync`, which calls write(2) and throws when the kernel takes nothing. */
export const sendByNode: DescriptorSend = (descriptor, bytes) => {
  try {
    return writeSync(descriptor, bytes)
  } catch {
    return 0
  }
}

/**
 * Resolves to send(2), called through a foreign function interface, or to undefined where koffi has no binary for the platform.
 */
export async function loadNativeSend(): Promise<DescriptorSend | undefined> {
  try {
    const { default: koffi } = await import('koffi')
    const send: (descriptor: number, bytes: Buffer, length: number, flags: number) => number = koffi
      .load(null)
      .func('intptr_t send(int descriptor, const void *bytes, size_t length, int flags)')
    // no flags: Node's sockets do not block, and Node ignores SIGPIPE
    return (descriptor, bytes) => Math.max(0, send(descriptor, bytes, bytes.length, 0))
  } catch {
    return undefined
  }
}

/** The native send where it loads, else Node's. */
export const sendNow: DescriptorSend = (await loadNativeSend()) ?? sendByNode
