/** The bus of a single process: a map and a list of listeners. */
import type { Snapshot } from '../protocol/frames.ts'
import { isNewer, type Versioned } from '../protocol/order.ts'
import { PRESENCE_MS, type Presence, type SnapshotListener, type TallyBus } from './tally-bus.ts'

/** `now` is in monotonic milliseconds. */
export function createMemoryBus(options: { readonly now: () => number }): TallyBus {
  const kept = new Map<string, Snapshot>()
  /** By slug, the epoch of a poll that was removed. */
  const removed = new Map<string, number>()
  const listeners = new Map<string, Set<SnapshotListener>>()
  const gateways = new Map<string, { readonly presence: Presence; readonly at: number }>()
  let sourceAt: number | undefined
  let lastMark: string | undefined
  /** The place of what is kept; of a removed poll the last one of its epoch, so that nothing of it comes back. */
  const placeOf = (slug: string): Versioned | undefined => {
    const epoch = removed.get(slug)
    return kept.get(slug)?.tally ?? (epoch === undefined ? undefined : { epoch, version: Number.MAX_SAFE_INTEGER })
  }
  return {
    async admit(snapshot) {
      const { poll: slug } = snapshot.tally
      if (!isNewer(snapshot.tally, placeOf(slug))) return false
      kept.set(slug, snapshot)
      for (const listener of listeners.get(slug) ?? []) listener(snapshot)
      return true
    },
    async forget(slug, epoch) {
      if ((placeOf(slug)?.epoch ?? 0) > epoch) return
      kept.delete(slug)
      removed.set(slug, epoch)
    },
    async heartbeat(at) {
      const remembered = sourceAt !== undefined
      sourceAt = at
      return remembered
    },
    async keep(slugs) {
      const places = new Map<string, Versioned>()
      for (const slug of slugs) {
        const place = placeOf(slug)
        if (place !== undefined) places.set(slug, place)
      }
      return places
    },
    async latest(slugs) {
      const snapshots = new Map<string, Snapshot>()
      for (const slug of slugs) {
        const snapshot = kept.get(slug)
        if (snapshot !== undefined) snapshots.set(slug, snapshot)
      }
      return { snapshots, sourceAt }
    },
    async subscribe(slug, listener) {
      const known = listeners.get(slug) ?? new Set()
      listeners.set(slug, known.add(listener))
      return () => {
        known.delete(listener)
        if (known.size === 0 && listeners.get(slug) === known) listeners.delete(slug)
      }
    },
    async remember(mark) {
      lastMark = mark
    },
    async remembered() {
      return lastMark
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
