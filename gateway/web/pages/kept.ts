const memory = new Map<string, string>()

/** What this tab keeps under a name, also over a reload; null if nothing. */
export function kept(name: string): string | null {
  try {
    return sessionStorage.getItem(`livetally:${name}`) ?? memory.get(name) ?? null
  } catch {
    return memory.get(name) ?? null
  }
}

/** Keeps or removes a value. Where the browser denies storage, as it may in a frame, the value lasts as long as the page. */
export function keep(name: string, value: string | undefined): void {
  if (value === undefined) memory.delete(name)
  else memory.set(name, value)
  try {
    if (value === undefined) sessionStorage.removeItem(`livetally:${name}`)
    else sessionStorage.setItem(`livetally:${name}`, value)
  } catch {
    // the map in memory has the value
  }
}
