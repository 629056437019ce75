/** Whether a figure of a process stayed flat over its life. Pure. */

export interface Sample {
  /** ms since 1970. */
  readonly at: number
  readonly value: number
}

export interface Allowance {
  /** By so much may the last quarter exceed the first: a share of it, and a constant. */
  readonly share: number
  readonly constant: number
}

export type Flatness =
  | { readonly kind: 'short'; readonly samples: number }
  | { readonly kind: 'flat' | 'grew'; readonly first: number; readonly last: number; readonly samples: number }

/** Compares the median of the first quarter after the warm-up with the median of the last quarter. */
export function judgeFlatness(
  samples: readonly Sample[],
  { share, constant }: Allowance,
  { warmUpMs, leastMs }: { readonly warmUpMs: number; readonly leastMs: number },
): Flatness {
  const begin = (samples[0]?.at ?? 0) + warmUpMs
  const warm = samples.filter(({ at }) => at >= begin)
  const lasted = (warm.at(-1)?.at ?? 0) - (warm[0]?.at ?? 0)
  if (warm.length < 8 || lasted < leastMs) return { kind: 'short', samples: warm.length }
  const quarter = Math.floor(warm.length / 4)
  const first = median(warm.slice(0, quarter).map(({ value }) => value))
  const last = median(warm.slice(-quarter).map(({ value }) => value))
  return { kind: last <= first * (1 + share) + constant ? 'flat' : 'grew', first, last, samples: warm.length }
}

/** The value at a quantile in [0, 1]; 0 of none. */
export function quantile(values: readonly number[], at: number): number {
  const order = values.toSorted((a, b) => a - b)
  return order[Math.min(order.length - 1, Math.floor(order.length * at))] ?? 0
}

export const median = (values: readonly number[]) => quantile(values, 0.5)
