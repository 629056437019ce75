/** Reads which polls a handshake asks for, and says why it does not get one. */
import { CloseCode } from '../../shared/protocol/close-codes.ts'
import { PollSlug } from '../../shared/protocol/frames.ts'

/** The most polls that one socket may follow. */
const MAX_POLLS = 16

/** An answer in place of 101. */
export interface Refusal {
  readonly status: number
  readonly kind: string
  readonly detail: string
  readonly retryAfterS?: number
  /** The close code that a client with our subprotocol gets in place of the status. */
  readonly closeCode?: number
}

/** A poll that a socket does not get, and why: the refusal of a socket that asks for no other. */
export interface RefusedPoll {
  readonly slug: string
  readonly refusal: Refusal & { readonly closeCode: number }
}

/** What a request asks for: each poll once, in its order. */
export interface Asked {
  /** Those that there may be, as many as one socket may follow. */
  readonly slugs: readonly string[]
  readonly refused: readonly RefusedPoll[]
}

/** The most request targets that are remembered: a crowd asks for a few of them over and over. */
const REMEMBERED = 256

/**
 * Returns a function that reads what a request target asks for. It returns the same array of slugs for the same target, so that
 * connections share it.
 */
export function rememberingAsked(): (target: string) => Asked | Refusal {
  const known = new Map<string, Asked>()
  return (target) => {
    const remembered = known.get(target)
    if (remembered !== undefined) return remembered
    const asked = askedBy(target)
    if ('status' in asked || asked.refused.length > 0) return asked
    if (known.size >= REMEMBERED) known.clear()
    known.set(target, asked)
    return asked
  }
}

/** What the request target asks for, or the refusal of a wrong target. */
function askedBy(target: string): Asked | Refusal {
  const url = URL.parse(target, 'http://gateway')
  if (url?.pathname !== '/ws') return { status: 404, kind: 'not-found', detail: 'WebSockets are at /ws.' }
  const all = [...new Set(url.searchParams.getAll('poll'))]
  if (all.length === 0) return { status: 400, kind: 'bad-request', detail: 'Say which poll: /ws?poll=cats-or-dogs' }
  if (all.length > MAX_NAMES) return TOO_MANY
  const isPossible = (slug: string) => PollSlug.safeParse(slug).success
  const seated = all.slice(0, MAX_POLLS)
  const impossible = seated.filter((slug) => !isPossible(slug))
  return {
    slugs: seated.filter(isPossible),
    refused: [
      ...all.slice(MAX_POLLS).map((slug) => ({ slug, refusal: TOO_MANY })),
      ...impossible.map((slug) => ({ slug, refusal: noPoll('There is no poll of this name, nor can there be one.') })),
    ],
  }
}

/** A handshake that names more polls is refused as a whole: each one beyond `MAX_POLLS` costs a frame. */
const MAX_NAMES = 64

/** The refusal has a close code, as for an unknown poll, since trying again does not help. */
const TOO_MANY = {
  status: 400,
  kind: 'bad-request',
  detail: `One socket follows ${MAX_POLLS} polls at most.`,
  closeCode: CloseCode.notAllowed,
}

/** The detail is the reason of a close frame too, which holds 123 bytes at most (RFC 6455 §5.5): a slug fits, what anyone sends does not. */
function noPoll(detail: string) {
  return { status: 404, kind: 'unknown-poll', detail, closeCode: CloseCode.unknownPoll }
}

export function unknownPoll(slug: string): RefusedPoll {
  return { slug, refusal: noPoll(`There is no poll "${slug}".`) }
}
