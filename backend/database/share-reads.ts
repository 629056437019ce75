/** Reads that share their queries, so that a crowd that asks for the same things costs one query at a time (docs/adr/0021). */

export interface SharedReadOptions<T> {
  /** Reads the values of some keys, all different; leaves out a key that has none. */
  readonly load: (keys: readonly string[]) => Promise<ReadonlyMap<string, T>>
  /** The most keys that `load` gets at once. Default 500. */
  readonly atOnce?: number
}

interface Round<T> extends PromiseWithResolvers<ReadonlyMap<string, T>> {
  readonly keys: Set<string>
}

/**
 * Returns a function that reads the value of a key, or undefined when it has none. While one load is under way, all further keys wait
 * for the next one, in which each is asked for once. So no value is older than the question, and one load runs at a time.
 */
export function shareReads<T>({ load, atOnce = 500 }: SharedReadOptions<T>): (key: string) => Promise<T | undefined> {
  const rounds: Round<T>[] = []
  let isLoading = false

  const loadAll = async () => {
    isLoading = true
    for (let round = rounds.shift(); round !== undefined; round = rounds.shift()) {
      try {
        round.resolve(await load([...round.keys]))
      } catch (error) {
        round.reject(error)
      }
    }
    isLoading = false
  }

  return async (key) => {
    let round = rounds.find(({ keys }) => keys.has(key)) ?? rounds.at(-1)
    if (round === undefined || (round.keys.size >= atOnce && !round.keys.has(key))) {
      round = { keys: new Set(), ...Promise.withResolvers<ReadonlyMap<string, T>>() }
      rounds.push(round)
    }
    round.keys.add(key)
    if (!isLoading) void loadAll()
    return (await round.promise).get(key)
  }
}
