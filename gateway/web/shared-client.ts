import { createTallyClient, type TallyClient } from './client/tally-client.ts'

const clients = new Map<string, { readonly client: TallyClient; users: number }>()

/** Shares one connection among all polls of the same server on a page. `release` gives it back. */
export function shareClient(url: string | undefined): { readonly client: TallyClient; release(): void } {
  const key = url ?? ''
  const entry = clients.get(key) ?? { client: createTallyClient({ url }), users: 0 }
  entry.users++
  clients.set(key, entry)
  return {
    client: entry.client,
    release() {
      if (--entry.users > 0) return
      clients.delete(key)
      entry.client.close()
    },
  }
}
