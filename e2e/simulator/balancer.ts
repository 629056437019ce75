/** The balancer: asks every gateway twice a second whether it is ready, and leads a new connection to one that was. */
import { exchange } from './http.ts'
import { chance, createMachine, type Machine, on } from './scheduler.ts'

const EVERY_MS = 300
const PATIENCE_MS = 1_000

export class Balancer {
  readonly #names: () => string[]
  readonly machine: Machine = createMachine('balancer', false)
  #ready: string[] = []
  /** The gateway that gets every connection while it is ready. */
  preferred = ''

  /** `names` are the gateways that there are. */
  constructor(names: () => string[]) {
    this.#names = names
  }

  start(): void {
    on(this.machine, () => void this.#watch())
  }

  async #watch(): Promise<void> {
    for (;;) {
      const names = this.#names()
      this.#ready = this.#ready.filter((name) => names.includes(name))
      for (const name of names) void this.#ask(name)
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
    }
  }

  async #ask(name: string): Promise<void> {
    const request = { method: 'GET', target: '/ready', headers: {}, body: '' }
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), PATIENCE_MS)
    const answer = await exchange(name, request, late.signal).catch(() => undefined)
    clearTimeout(timer)
    const others = this.#ready.filter((other) => other !== name)
    this.#ready = answer?.status === 200 ? [...others, name] : others
  }

  get ready(): readonly string[] {
    return this.#ready
  }

  /** The gateway for a new connection; a name that nobody has when none is ready. */
  choose(): string {
    if (this.#ready.includes(this.preferred)) return this.preferred
    return this.#ready.length === 0 ? 'nobody' : chance.network.pick(this.#ready.toSorted())
  }
}
