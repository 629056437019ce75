import { createTallyClient, type TallyClient } from './client/tally-client.ts'

/** The most polls that one connection may follow (docs/protocol.md). */
const MAX_POLLS = 16

interface Shared {
  readonly client: TallyClient
  /** The poll of each user; undefined for one that follows no poll besides those of the others. */
  readonly users: (string | undefined)[]
}

const servers = new Map<string, Shared[]>()

/**
 * Shares a connection among up to 16 polls of the same server on a page. A client that a server has ended for good is not shared
 * any more. `poll` is what the caller will follow; without one the caller takes no place, and may follow what others do. `release`
 * gives the client back; one without users is closed.
 */
export function shareClient(url: string | undefined, poll?: string): { readonly client: TallyClient; release(): void } {
  const key = url ?? ''
  const open = (servers.get(key) ?? []).filter(({ client }) => client.status.state !== 'closed')
  const hasPlace = ({ users }: Shared) => new Set(users.filter((each) => each !== undefined)).size < MAX_POLLS
  const found = open.find(({ users }) => users.includes(poll)) ?? open.find(hasPlace)
  const shared: Shared = found ?? { client: createTallyClient({ url }), users: [] }
  shared.users.push(poll)
  servers.set(key, found ? open : [...open, shared])
  return {
    client: shared.client,
    release() {
      shared.users.splice(shared.users.indexOf(poll), 1)
      if (shared.users.length === 0) shared.client.close()
    },
  }
}
