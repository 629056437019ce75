/** The bus of a single process: a map and a list of listeners. */
import type { Snapshot } from '../protocol/frames.ts'
import { isNewer } from '../protocol/order.ts'
import { PRESENCE_MS, type Presence, type SnapshotListener, type TallyBus } from './tally-bus.ts'

export function createMemoryBus(options: { readonly now: () => number }): TallyBus {
  const kept = new Map<string, Snapshot>()
  const listeners = new Map<string, Set<SnapshotListener>>()
  const gateways = new Map<string, { readonly presence: Presence; readonly at: number }>()
  let sourceAt: number | undefined
  return {
    async admit(snapshot) {
      const { poll } = snapshot.tally
      if (!isNewer(snapshot.tally, kept.get(poll)?.tally)) return false
      kept.set(poll, snapshot)
      for (const listener of listeners.get(poll) ?? []) listener(snapshot)
      return true
    },
    async forget(poll) {
      kept.delete(poll)
    },
    async heartbeat(at) {
      const remembered = sourceAt !== undefined
      sourceAt = at
      return remembered
    },
    async latest(polls) {
      const snapshots = new Map<string, Snapshot>()
      for (const poll of polls) {
        const snapshot = kept.get(poll)
        if (snapshot !== undefined) snapshots.set(poll, snapshot)
      }
      return { snapshots, sourceAt }
    },
    async subscribe(poll, listener) {
      const known = listeners.get(poll) ?? new Set()
      listeners.set(poll, known.add(listener))
      return () => {
        known.delete(listener)
        if (known.size === 0 && listeners.get(poll) === known) listeners.delete(poll)
      }
    },
    async announce(presence) {
      gateways.set(presence.id, { presence, at: options.now() })
    },
    async present() {
      const now = options.now()
      for (const [id, { at }] of gateways) if (now - at > PRESENCE_MS) gateways.delete(id)
      return [...gateways.values()].map(({ presence }) => presence)
    },
    get health() {
      return { ok: true, at: options.now() }
    },
    close: async () => listeners.clear(),
  }
}
