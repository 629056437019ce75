/**
 * Postgres: a server over the tables that knows the product's statements by their names, and `connectPostgres` with clients that have the
 * manners of pg, under the product's own pool, sessions and watch over the primary.
 *
 * A transaction that writes has its id from its begin on and does its work at its commit, so that others meanwhile see it running.
 */
import { EventEmitter } from 'node:events'
import type { Client, Pool } from 'pg'
import type { Database, Statement } from '../../backend/database/database.ts'
import { connectSession, createDatabase } from '../../backend/database/pool.ts'
import type { PostgresOptions } from '../../backend/database/postgres.ts'
import { createPrimary } from '../../backend/database/primary.ts'
import type { End } from './network.ts'
import { chance, type Machine, on, time } from './scheduler.ts'
import { type ReferredVote, Tables, type Write } from './tables.ts'
import { world } from './surroundings.ts'

interface Asked {
  readonly text: string
  readonly name: string
  readonly values: readonly unknown[]
}
interface Told {
  readonly rows?: object[]
  readonly refused?: { readonly code: string; readonly message: string }
}

const STATEMENT_MS = 2_500

export class PostgresServer {
  machine: Machine
  tables = new Tables()
  /** Which server it is: another one after a failover. */
  identity = 'first'
  /** Transactions take up to so long, in ms. */
  slowMs = 3
  /** New sessions are refused until then. */
  refusesUntil = 0
  /** The answers to commits are lost, with their connections, until then. */
  forgetsUntil = 0
  #running = new Set<number>()
  #slots = new Map<number, End>()

  constructor(machine: Machine) {
    this.machine = machine
    on(machine, () => this.#listen())
  }

  #listen(): void {
    world.network.listen('postgres', (end) => {
      if (time() < this.refusesUntil) {
        end.send({ refused: { code: '57P03', message: 'the database system is starting up' } } satisfies Told)
        end.close()
        return
      }
      end.send({ rows: [] } satisfies Told)
      end.onClose = () => {
        for (const [slot, holder] of this.#slots) if (holder === end) this.#slots.delete(slot)
      }
      // a session does one statement after the other
      let before: Promise<unknown> = Promise.resolve()
      end.onData = (data) => void (before = before.then(() => this.#serve(end, data as Asked)))
    })
  }

  /** Another server in its place, with these tables. */
  replace(machine: Machine, tables: Tables, identity = this.identity): void {
    Object.assign(this, { machine, tables, identity })
    this.#running = new Set()
    this.#slots = new Map()
    on(machine, () => this.#listen())
  }

  async #serve(end: End, { name, text, values }: Asked): Promise<void> {
    const tell = (told: Told) => end.send(told)
    const write = this.#writeOf(end, name, text, values)
    try {
      if (write === undefined) return tell({ rows: this.#read(name, text, values, end) })
      const rows = await this.transact(write)
      if (name === 'cast batch' && time() < this.forgetsUntil) {
        world.sometimes.note('a commit is not confirmed')
        end.reset()
      } else tell({ rows })
    } catch (fault) {
      if (!(fault instanceof Refused)) throw fault
      tell({ refused: { code: fault.code, message: fault.message } })
    }
  }

  /** Runs a transaction, which takes a while. Never settles if the server goes down meanwhile. */
  async transact<T>(write: Write<T>): Promise<T> {
    const xid = this.tables.nextXid++
    this.#running.add(xid)
    const tookMs = chance.network.next() * this.slowMs
    await new Promise((resolve) => setTimeout(resolve, Math.min(tookMs, STATEMENT_MS)))
    this.#running.delete(xid)
    if (tookMs > STATEMENT_MS) throw new Refused('57014', 'canceling statement due to statement timeout')
    const result = write(xid)
    this.tables.lsn += 1
    world.judge.committed()
    return result
  }

  #writeOf(end: End, name: string, text: string, values: readonly unknown[]): Write<object[]> | undefined {
    const { tables } = this
    const [here, second, third, fourth] = values
    if (name === 'cast batch') {
      const slot = [...this.#slots].find(([, holder]) => holder === end)?.[0] ?? 64
      return (xid) => tables.cast(xid, slot, votesIn(values))
    }
    if (text.startsWith('INSERT INTO livetally.origin')) {
      return () => {
        tables.origin ??= { identity: String(here), epoch: 0 }
        return []
      }
    }
    if (text.includes('UPDATE livetally.origin')) {
      return (xid) => {
        tables.beginHistory(xid, String(here), String(second), Number(third), Number(fourth))
        world.sometimes.note('a new history of the database begins')
        return []
      }
    }
    return undefined
  }

  /** The statements that change nothing, or nothing that matters here. */
  #read(name: string, text: string, values: readonly unknown[], end: End): object[] {
    const { polls, counters, removed, nextXid, origin } = this.tables
    const lsn = `0/${this.tables.lsn.toString(16).toUpperCase()}`
    const now = `${Math.min(nextXid, ...this.#running)}:${nextXid}:${[...this.#running].join()} ${lsn} off`
    if (name === 'now') return [{ now }]
    if (name === 'later' || name === 'later or running') {
      const from = Number(values[0])
      const running = new Set(arrayOf(values[1] ?? '{}').map(Number))
      const isNew = ({ xid }: { readonly xid: number }) => xid >= from || running.has(xid)
      if ([...running].some((xid) => !this.#running.has(xid)))
        world.sometimes.note('a transaction that ran at the last read has ended')
      return [
        { kind: 'now', detail: now },
        ...removed.filter(isNew).map(({ id, ...row }) => ({ kind: 'removed', poll_id: id, detail: JSON.stringify(row) })),
        ...[...polls.values()].filter(isNew).map((row) => ({ kind: 'poll', poll_id: row.id, detail: JSON.stringify(row) })),
        ...[...counters].flatMap(([poll, rows]) =>
          [...rows.values()].filter(isNew).map(({ option, slot, n, ver, changedAt }) => {
            const numbers = { n: String(n), ver: String(ver), changed_at: String(changedAt) }
            return { kind: 'counter', poll_id: poll, option, slot, ...numbers }
          }),
        ),
      ]
    }
    if (name === 'polls by id' || name === 'polls by slug') {
      const asked = name === 'polls by id' ? new Set(arrayOf(values[0]).map(Number)) : new Set(values[0] as string[])
      return [...polls.values()]
        .filter(({ id, slug }) => asked.has(id as never) || asked.has(slug as never))
        .map((poll) => this.tables.counted(poll))
    }
    if (text.includes('pg_try_advisory_lock') && text.includes('livetally.slot')) {
      const free = Array.from({ length: 64 }, (_, slot) => slot).find((slot) => !this.#slots.has(slot))
      if (free !== undefined) this.#slots.set(free, end)
      return [{}]
    }
    if (text.includes('pg_is_in_recovery')) return [{ standby: false, read_only: false }]
    if (text.includes('LEFT JOIN livetally.origin')) {
      const [identity, epoch, seenLsn] = values
      const before = origin?.identity ?? null
      const isBehind =
        origin?.epoch === epoch && (this.identity !== identity || this.tables.lsn < Number.parseInt(String(seenLsn).slice(2), 16))
      const isAnother = before !== this.identity || (origin?.epoch ?? 0) < Number(epoch) || isBehind
      return [{ here: this.identity, lsn, before, epoch: origin?.epoch, isAnother }]
    }
    if (['advance', 'record history', 'lost sources'].includes(name)) return []
    throw new Error(`the model of Postgres does not know the statement ${name || text}`)
  }
}

/** An error that the server answers with. */
class Refused extends Error {
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

function arrayOf(literal: unknown): string[] {
  const text = String(literal).slice(1, -1)
  return text === '' ? [] : text.split(',').map((item) => item.replaceAll('"', ''))
}

function votesIn(values: readonly unknown[]): ReferredVote[] {
  const [slugs = [], refs = [], voters = [], options = [], orders = []] = values.map(arrayOf)
  return refs.map((ref, i) => ({
    ref: Number(ref),
    slug: slugs[Number(ref) - 1] ?? '',
    voter: voters[i] ?? '',
    option: options[i] ?? '',
    order: Number(orders[i]),
  }))
}

const CONNECT_MS = 2_000
const QUERY_MS = 3_000

interface Waiting {
  resolve(result: { readonly rows: object[] }): void
  reject(error: Error): void
}

/** What pg's `Client` is to the product. */
class VirtualClient extends EventEmitter {
  #end: End | undefined
  #isOver = false
  readonly #waiting: Waiting[] = []
  readonly connection = Object.assign(new EventEmitter(), {
    stream: { destroy: () => this.#lose(new Error('Connection terminated')) },
  })

  async connect(): Promise<void> {
    const end = (this.#end = world.network.connect('postgres'))
    end.onData = (data) => this.#hear(data as Told)
    end.onClose = (error) => this.#lose(error ?? new Error('Connection terminated unexpectedly'))
    await this.#answer(CONNECT_MS, 'timeout expired')
  }

  async query(statement: Statement | string, values: readonly unknown[] = []): Promise<{ rows: object[]; command: string }> {
    if (this.#isOver) throw new Error('Client has encountered a connection error and is not queryable')
    const {
      name = '',
      text,
      values: own,
    } = typeof statement === 'string' ? { text: statement } : (statement as Partial<Asked> & { text: string })
    this.#end?.send({ name, text, values: own ?? values } satisfies Asked)
    return { ...(await this.#answer(QUERY_MS, 'Query read timeout')), command: '' }
  }

  async #answer(ms: number, late: string): Promise<{ rows: object[] }> {
    const answer = Promise.withResolvers<{ rows: object[] }>()
    this.#waiting.push(answer)
    const timer = setTimeout(() => answer.reject(new Error(late)), ms)
    return await answer.promise.finally(() => clearTimeout(timer))
  }

  #hear({ rows = [], refused }: Told): void {
    const first = this.#waiting.shift()
    if (refused === undefined) first?.resolve({ rows })
    else first?.reject(Object.assign(new Error(refused.message), { severity: 'ERROR', code: refused.code }))
  }

  #lose(error: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#end?.reset()
    for (const { reject } of this.#waiting.splice(0)) reject(error)
    this.emit('error', error)
    this.emit('end')
  }

  /** Resolves when the server has answered what is under way and closed the connection. */
  async end(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#isOver) await new Promise((resolve) => setTimeout(resolve, 5))
    if (this.#isOver) return
    this.#isOver = true
    this.#end?.close()
    this.emit('end')
  }
}

/** What pg's `Pool` is to the product: a connection for each use. */
class VirtualPool extends EventEmitter {
  readonly waitingCount = 0
  readonly #enter: (client: VirtualClient) => Promise<void>
  constructor(enter: (client: VirtualClient) => Promise<void>) {
    super()
    this.#enter = enter
  }
  async connect() {
    const client = new VirtualClient()
    client.on('error', () => {})
    await client.connect()
    await this.#enter(client)
    return Object.assign(client, { release: () => void client.end() })
  }
  async end(): Promise<void> {}
}

/** In place of the function of that name in backend/database/postgres.ts. */
export async function connectPostgres({ log, after }: PostgresOptions): Promise<Database> {
  const primary = createPrimary({ log, after })
  // the classes above have of pg's what the product uses
  const client = () => new VirtualClient() as unknown as Client
  const openSession = () => connectSession(client(), { primary })
  await (await openSession()).close()
  const pool = new VirtualPool((opened) => primary.enter(opened as unknown as Client)) as unknown as Pool
  return createDatabase({ kind: 'postgres', pool, log, openSession, mark: () => primary.mark })
}
