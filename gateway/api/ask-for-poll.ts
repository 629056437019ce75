/** The feed's question for a poll that the bus does not know. */
import { Snapshot } from '../../shared/protocol/frames.ts'
import { Problem } from '../../shared/protocol/problem.ts'
import type { Api } from './api.ts'

/**
 * Asks the API for the poll as it shows it to anyone; undefined when the API says that there is none. Rejects when it says neither: any
 * other 404 may come from something else at the address of the backends. Waits behind no other read, since sockets wait for the answer.
 */
export async function askForPoll(api: Pick<Api, 'fetch'>, slug: string): Promise<Snapshot | undefined> {
  const response = await api.fetch({ method: 'GET', target: `/api/polls/${slug}`, headers: {}, isAheadOfLine: true })
  const body: unknown = await response.json().catch(() => undefined)
  if (response.status === 404 && Problem.safeParse(body).data?.type === '/problems/unknown-poll') return undefined
  if (!response.ok) throw new Error(`the API answered ${response.status}`)
  return Snapshot.parse(body)
}
