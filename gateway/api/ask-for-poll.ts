/** The feed's question for a poll that the bus does not know. */
import { Snapshot } from '../../shared/protocol/frames.ts'
import { Problem } from '../../shared/protocol/problem.ts'
import type { Api } from './api.ts'

/** A poll as the API told of it. */
export interface Told {
  readonly snapshot: Snapshot
  readonly etag: string | undefined
}

/**
 * Asks the API for the poll as it shows it to anyone; undefined when the API says that there is none, and `known` itself when nothing has
 * changed since. Rejects when it says none of these: any other 404 may come from something else at the address of the backends. Waits
 * behind no other read, since sockets wait for the answer.
 */
export async function askForPoll(api: Pick<Api, 'fetch'>, slug: string, known?: Told): Promise<Told | undefined> {
  const headers = known?.etag === undefined ? {} : { 'if-none-match': known.etag }
  const response = await api.fetch({ method: 'GET', target: `/api/polls/${slug}`, headers, isAheadOfLine: true })
  if (response.status === 304) return known
  const body: unknown = await response.json().catch(() => undefined)
  if (response.status === 404 && Problem.safeParse(body).data?.type === '/problems/unknown-poll') return undefined
  if (!response.ok) throw new Error(`the API answered ${response.status}`)
  return { snapshot: Snapshot.parse(body), etag: response.headers.get('etag') ?? undefined }
}
