/** Bytes straight to a socket's descriptor: the system call that a delivered tally cannot do without, and as little else as can be. */
import { writeSync } from 'node:fs'

/**
 * Offers bytes to the kernel for a connected, non-blocking socket, and returns how many it took. That is none where its buffer is
 * full or the peer is gone; the stream above tells the two apart when it is given the rest. Never throws.
 */
export type DescriptorSend = (descriptor: number, bytes: Buffer) => number

/** Node's own way: write(2), behind its checks of the arguments and an exception where nothing was taken. */
export const sendByNode: DescriptorSend = (descriptor, bytes) => {
  try {
    return writeSync(descriptor, bytes)
  } catch {
    return 0
  }
}

/** send(2) itself, called through a foreign function interface; undefined where koffi has no binary for the platform. */
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

/** The cheapest there is here (docs/adr/0014). */
export const sendNow: DescriptorSend = (await loadNativeSend()) ?? sendByNode
