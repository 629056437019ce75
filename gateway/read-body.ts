/** The body of a message, whole and bounded. */
import type { IncomingMessage } from 'node:http'

/** Resolves to undefined when the body is longer than it may be; rejects when the sender leaves before its end. */
export function readBody(message: IncomingMessage, maxBytes: number): Promise<Buffer<ArrayBuffer> | undefined> {
  const { 'content-length': length, 'transfer-encoding': coding } = message.headers
  // without either there is none (RFC 9112 §6.3)
  if (length === undefined && coding === undefined) return Promise.resolve(Buffer.alloc(0))
  if (Number(length) > maxBytes) return Promise.resolve(undefined)
  return new Promise((resolve, reject) => {
    const chunks: Buffer<ArrayBuffer>[] = []
    let size = 0
    message.on('data', (chunk: Buffer<ArrayBuffer>) => {
      size += chunk.length
      if (size > maxBytes) resolve(undefined)
      else chunks.push(chunk)
    })
    message.once('end', () => resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)))
    message.once('error', reject)
  })
}
