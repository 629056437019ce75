/**
 * One seeded scheduler for everything that happens in the simulator: virtual time, timers, and which process a piece of code runs in.
 *
 * It takes the place of Node's timers, clocks and randomness, so that code that knows nothing of it runs in virtual time. Between two
 * events every promise that can settle does: a real `setImmediate` fires only when Node has run out of microtasks and ticks.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import timersPromises from 'node:timers/promises'
import { createRandom, type Random } from '../chaos/random.ts'

/** A process or a device: what stops, crashes and has clocks of its own. */
export interface Machine {
  readonly name: string
  readonly bornAt: number
  state: 'runs' | 'stopped' | 'dead'
  /** What came while it was stopped. */
  held: (() => void)[]
  /** How far its wall clock is ahead of the true time, in ms, and by how much it runs too fast. */
  dateAheadMs: number
  readonly drift: number
}

interface Event {
  at: number
  order: number
  readonly machine: Machine
  /** Undefined once it is cancelled. */
  run: (() => void) | undefined
}

/** 2026-11-25, the true time at which each schedule begins. */
const EPOCH_MS = Date.UTC(2026, 10, 25)
const realSetImmediate = globalThis.setImmediate
const RealDate = globalThis.Date
const current = new AsyncLocalStorage<Machine>()

let now = 0
let events: Event[] = []
let orders = 0
let steps = 0
let hash = 0
let outside: Machine
/** For what the simulated code draws, for the delays of the network, and for the rest of the world, so that none shifts the others. */
export let chance: { readonly code: Random; readonly network: Random; readonly world: Random }
/** Told of what no code caught. */
let onFault: (fault: unknown, machine: Machine) => void = () => {}

export const time = () => now
export const stepsSoFar = () => steps
/** A number that differs as soon as anything happened otherwise. */
export const traceHash = () => (hash >>> 0).toString(16).padStart(8, '0')

/** Begins a schedule: the time is 0 and nothing is planned. */
export function begin(seed: number, faults: typeof onFault): void {
  now = orders = steps = hash = 0
  events = []
  onFault = faults
  chance = { code: createRandom(seed * 3 + 1), network: createRandom(seed * 3 + 2), world: createRandom(seed * 3 + 3) }
  outside = createMachine('outside', false)
}

export function createMachine(name: string, hasOwnClock = true): Machine {
  const drift = hasOwnClock ? (chance.world.next() - 0.5) / 500 : 0
  const dateAheadMs = hasOwnClock ? (chance.world.next() - 0.5) * 400 : 0
  return { name, bornAt: now, state: 'runs', held: [], dateAheadMs, drift }
}

/** The machine whose code runs now. */
export const here = (): Machine => current.getStore() ?? outside

/** Runs code as the machine's, now; what it plans and awaits is the machine's too. */
export function on<T>(machine: Machine, run: () => T): T {
  return current.run(machine, run)
}

/** Notes something in the trace. */
export function note(text: string): void {
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 16_777_619)
  hash = Math.imul(hash ^ Math.round(now * 1_000), 16_777_619)
}

/** Plans code of a machine. Of events at the same time the one that was planned first comes first. */
export function plan(machine: Machine, delayMs: number, run: () => void): Event {
  const event: Event = { at: now + delayMs, order: orders++, machine, run }
  let place = events.push(event) - 1
  while (place > 0) {
    const parent = (place - 1) >> 1
    if (!isBefore(event, events[parent]!)) break
    events[place] = events[parent]!
    place = parent
  }
  events[place] = event
  return event
}

const isBefore = (one: Event, other: Event) => one.at < other.at || (one.at === other.at && one.order < other.order)

function next(): Event {
  const first = events[0]!
  const last = events.pop()!
  if (events.length === 0) return first
  let place = 0
  for (;;) {
    let child = 2 * place + 1
    if (child >= events.length) break
    if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child += 1
    if (!isBefore(events[child]!, last)) break
    events[place] = events[child]!
    place = child
  }
  events[place] = last
  return first
}

/** Runs events until nothing is planned before the time, or `isOver` says so. */
export async function runUntil(atMs: number, isOver: () => boolean = () => false): Promise<void> {
  await new Promise<void>((resolve) => {
    const step = () => {
      while (events.length > 0 && events[0]!.run === undefined) next()
      if (events.length === 0 || events[0]!.at > atMs || isOver()) {
        now = Math.max(now, isOver() ? now : atMs)
        resolve()
        return
      }
      const event = next()
      now = Math.max(now, event.at)
      execute(event)
      realSetImmediate(step)
    }
    realSetImmediate(step)
  })
}

function execute({ machine, run }: Event): void {
  if (run === undefined || machine.state === 'dead') return
  if (machine.state === 'stopped') return void machine.held.push(run)
  steps += 1
  note(machine.name)
  try {
    current.run(machine, run)
  } catch (fault) {
    onFault(fault, machine)
  }
}

/** SIGSTOP: what is due waits. */
export function stop(machine: Machine): void {
  if (machine.state === 'runs') machine.state = 'stopped'
}

/** SIGCONT: what waited happens, in its order. */
export function resume(machine: Machine): void {
  if (machine.state !== 'stopped') return
  machine.state = 'runs'
  for (const run of machine.held.splice(0)) plan(machine, 0, run)
}

/** SIGKILL, or the end of a process: nothing of it happens any more. */
export function kill(machine: Machine): void {
  machine.state = 'dead'
  machine.held = []
}

/** A pending timer as Node's are. */
class VirtualTimer {
  #event: Event
  readonly #machine = here()
  readonly #ms: number
  readonly #run: () => void
  readonly #repeats: boolean
  constructor(run: () => void, ms: number, repeats: boolean) {
    // as Node does (timers documentation)
    this.#ms = ms >= 1 && ms <= 2 ** 31 - 1 ? Math.trunc(ms) : 1
    this.#run = run
    this.#repeats = repeats
    this.#event = this.#plan()
  }
  #plan(): Event {
    return plan(this.#machine, this.#ms, () => {
      if (this.#repeats) this.#event = this.#plan()
      this.#run()
    })
  }
  cancel() {
    this.#event.run = undefined
  }
  refresh() {
    this.cancel()
    this.#event = this.#plan()
    return this
  }
  ref() {
    return this
  }
  unref() {
    return this
  }
  hasRef() {
    return true
  }
}

const clear = (timer: unknown) => timer instanceof VirtualTimer && timer.cancel()

function delay<T>(ms = 1, value?: T, { signal }: { signal?: AbortSignal } = {}): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      timer.cancel()
      reject(signal?.reason)
    }
    const timer = new VirtualTimer(
      () => {
        signal?.removeEventListener('abort', abort)
        resolve(value)
      },
      ms,
      false,
    )
    if (signal?.aborted) abort()
    signal?.addEventListener('abort', abort, { once: true })
  })
}

/** The wall clock of the machine whose code runs now. */
function dateMs(): number {
  const { drift, dateAheadMs } = here()
  return Math.floor(EPOCH_MS + now * (1 + drift) + dateAheadMs)
}

class VirtualDate extends RealDate {
  constructor(...given: [] | [number | string | Date]) {
    if (given.length === 0) super(dateMs())
    else super(...(given as [number]))
  }
  static override now = dateMs
}

function virtualUuid(): `${string}-${string}-${string}-${string}-${string}` {
  const digits = Array.from({ length: 4 }, () =>
    Math.floor(chance.code.next() * 2 ** 32)
      .toString(16)
      .padStart(8, '0'),
  ).join('')
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-4${digits.slice(13, 16)}-a${digits.slice(17, 20)}-${digits.slice(20)}`
}

/** Puts virtual time and seeded randomness in the place of Node's, for good: for a process that does nothing else. */
export function install(): void {
  const timer = (run: (...values: unknown[]) => void, ms: number, repeats: boolean, values: unknown[]) =>
    new VirtualTimer(() => run(...values), ms, repeats)
  Object.assign(globalThis, {
    setTimeout: (run: () => void, ms: number, ...values: unknown[]) => timer(run, ms, false, values),
    setInterval: (run: () => void, ms: number, ...values: unknown[]) => timer(run, ms, true, values),
    setImmediate: (run: (...values: unknown[]) => void, ...values: unknown[]) => plan(here(), 0, () => run(...values)),
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: (event: Event) => void (event.run = undefined),
    Date: VirtualDate,
  })
  performance.now = () => now - here().bornAt
  Math.random = () => chance.code.next()
  const uuids = { randomUUID: virtualUuid }
  Object.assign(crypto, uuids)
  Object.defineProperty(globalThis.crypto, 'randomUUID', { value: virtualUuid })
  Object.assign(timersPromises, { setTimeout: delay })
  AbortSignal.timeout = (ms) => {
    const abort = new AbortController()
    void new VirtualTimer(() => abort.abort(new DOMException('the time is over', 'TimeoutError')), ms, false)
    return abort.signal
  }
  syncBuiltinESMExports()
  for (const event of ['unhandledRejection', 'uncaughtException'] as const)
    process.on(event, (fault: unknown) => onFault(fault, here()))
}
