/** Shares out the turns of the event loop, so that a crowd's requests leave time for everything else in each of them. */

/**
 * Returns a function that resolves in a turn of the event loop in which fewer than `perTurn` others have been let through; who came
 * first goes first.
 */
export function createTurns(perTurn: number): () => Promise<void> {
  const waiting = new Set<() => void>()
  let left = perTurn
  let isPlanned = false

  const plan = () => {
    if (isPlanned) return
    isPlanned = true
    setImmediate(nextTurn)
  }

  const nextTurn = () => {
    isPlanned = false
    left = perTurn
    for (const enter of waiting) {
      if (left === 0) break
      left -= 1
      waiting.delete(enter)
      enter()
    }
    if (left < perTurn) plan()
  }

  return () => {
    plan()
    if (left === 0 || waiting.size > 0) return new Promise((enter) => waiting.add(enter))
    left -= 1
    return Promise.resolve()
  }
}
