/** Reads the bodies of requests, and bounds what those of all requests that are under way take together. */
import type { IncomingMessage } from 'node:http'
import { problemResponse } from '../../shared/protocol/problem.ts'

const MAX_BODY_BYTES = 65_536
/** No vote has a longer body. What is longer takes one of the places for large bodies, so that no large one ever stands in a vote's way. */
const SMALL_BODY_BYTES = 2_048
/** 16 MiB together. */
const MAX_LARGE_BODIES = 256

export type Body = Buffer<ArrayBuffer>

/** A body, or the refusal of one that is too large, or that is large when too many others are. */
export interface ReceivedBody {
  readonly body: Body | Response
  /** To be called when the request has been answered: until then the body counts among those that are under way. */
  readonly release: () => void
}

/** Returns a function that reads the body of a request. It rejects when the sender leaves before the end. */
export function createBodyReader(): (message: IncomingMessage) => Promise<ReceivedBody> {
  let largeBodies = 0
  return async (message) => {
    let isLarge = false
    const mayBeLarge = () => {
      if (isLarge || largeBodies === MAX_LARGE_BODIES) return isLarge
      largeBodies += 1
      return (isLarge = true)
    }
    const release = () => {
      if (isLarge) largeBodies -= 1
      isLarge = false
    }
    try {
      return { body: await readBody(message, mayBeLarge), release }
    } catch (error) {
      release()
      throw error
    }
  }
}

function readBody(message: IncomingMessage, mayBeLarge: () => boolean): Promise<Body | Response> {
  const { 'content-length': length, 'transfer-encoding': coding } = message.headers
  // a request without either field has no body (RFC 9112 §6.3)
  if (length === undefined && coding === undefined) return Promise.resolve(Buffer.alloc(0))
  if (Number(length) > MAX_BODY_BYTES) return Promise.resolve(tooLarge())
  return new Promise((resolve, reject) => {
    const chunks: Body[] = []
    let size = 0
    const refuse = (refusal: Response) => {
      chunks.length = 0
      message.off('data', onData).resume()
      resolve(refusal)
    }
    const onData = (chunk: Body) => {
      size += chunk.length
      if (size > MAX_BODY_BYTES) refuse(tooLarge())
      else if (size > SMALL_BODY_BYTES && !mayBeLarge()) refuse(tooMany())
      else chunks.push(chunk)
    }
    message.on('data', onData)
    message.once('end', () => resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)))
    message.once('error', reject)
  })
}

function tooLarge(): Response {
  return problemResponse(413, 'too-large', `A body may have ${MAX_BODY_BYTES} bytes at most.`)
}

function tooMany(): Response {
  return problemResponse(503, 'overloaded', 'Too many large bodies come at once. Try again in a moment.', { 'retry-after': '1' })
}
