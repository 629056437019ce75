interface Keeper {
  /** What is kept under a name, also over a reload; null if nothing. */
  kept(name: string): string | null
  /** Keeps or removes a value. Where the browser denies storage, as it may in a frame, the value lasts as long as the page. */
  keep(name: string, value: string | undefined): void
}

/** `storage` is called each time, since a browser that denies storage throws already when it is asked for it. */
function createKeeper(storage: () => Storage): Keeper {
  const memory = new Map<string, string>()
  return {
    kept(name) {
      try {
        return storage().getItem(storedAs(name)) ?? memory.get(name) ?? null
      } catch {
        return memory.get(name) ?? null
      }
    },
    keep(name, value) {
      if (value === undefined) memory.delete(name)
      else memory.set(name, value)
      try {
        if (value === undefined) storage().removeItem(storedAs(name))
        else storage().setItem(storedAs(name), value)
      } catch {
        // the map in memory has the value
      }
    },
  }
}

/** The key under which a storage has the value of a name. */
export const storedAs = (name: string): string => `livetally:${name}`

/** What this tab keeps. */
export const { kept, keep } = createKeeper(() => sessionStorage)

/** What all tabs of this browser keep, also when they are closed. */
export const { kept: keptByAll, keep: keepForAll } = createKeeper(() => localStorage)
