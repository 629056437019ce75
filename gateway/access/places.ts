/** So many places, of which one address gets no more than its share. */

export interface PlacesOptions {
  /** How many there are; Infinity for no limit. */
  readonly max: number
  /** The most that one address gets. */
  readonly maxPerAddress: number
}

export interface Places {
  /** Takes a place, to be given back by `leave`. `full`: all are taken. `crowded`: the address has as many as it gets. */
  enter(address: string): 'admitted' | 'full' | 'crowded'
  leave(address: string): void
  /** How much is taken of all places, or of the address's share where that is more: from 0 to 1. */
  taken(address: string): number
}

export function createPlaces({ max, maxPerAddress }: PlacesOptions): Places {
  const byAddress = new Map<string, number>()
  let taken = 0
  return {
    enter(address) {
      if (taken >= max) return 'full'
      const fromThere = byAddress.get(address) ?? 0
      if (fromThere >= maxPerAddress) return 'crowded'
      taken += 1
      byAddress.set(address, fromThere + 1)
      return 'admitted'
    },
    leave(address) {
      taken -= 1
      const left = (byAddress.get(address) ?? 1) - 1
      if (left > 0) byAddress.set(address, left)
      else byAddress.delete(address)
    },
    taken: (address) => Math.max(taken / max, (byAddress.get(address) ?? 0) / maxPerAddress),
  }
}
