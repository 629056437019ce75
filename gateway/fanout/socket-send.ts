/** Sends bytes to a socket's descriptor by one system call, with as little around it as possible (docs/adr/0014). */

/**
 * Offers bytes to the kernel for a connected, non-blocking socket, and returns how many it took: 0 when its buffer is full or the
 * peer has gone. The caller gives the rest to the stream, which tells the two apart. Never throws.
 */
export type DescriptorSend = (descriptor: number, bytes: Buffer) => number

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

const nativeSend = await loadNativeSend()

/** Whether frames go past the stream here. */
export const hasNativeSend = nativeSend !== undefined

/** The native send; where there is none it takes nothing, so that all bytes go to the stream. */
export const sendNow: DescriptorSend = nativeSend ?? (() => 0)
