/** What one contender does in one round: it is started, measured, and stopped. */
import { setTimeout as delay } from 'node:timers/promises'
import { startAudience, type Audience, type LoadProgram } from './audience.ts'
import { startContender, type Contender, type ContenderName, type ContenderOptions } from './contenders.ts'
import type { Cores, ReceiveCore } from './machine.ts'
import { backlogOverflows, coreBusyUs, cpuSince, cpuTimes, residentBytes } from './process-usage.ts'
import { monotonicUs, POLLS } from './tally.ts'

export interface VisitOptions extends Omit<ContenderOptions, 'core'> {
  readonly load: LoadProgram
  readonly cores: Cores
  /** Undefined where the receiving half stays where it is. */
  readonly receiveCore: ReceiveCore | undefined
  readonly sockets: number
  /** How many arrive at once in the burst. */
  readonly burst: number
  /** Messages delivered in each window, about. */
  readonly messages: number
  /** After the sockets have opened, before their memory is read. */
  readonly settleMs: number
  /** How often a window that others disturbed is measured again, at most. */
  readonly repeats: number
}

/** Broadcasts to all sockets, one after the other, each only when everybody has the one before. */
export interface Window {
  /** Per delivered message: the server's processor time, and the load generator's. */
  readonly cpuUs: number
  readonly userUs: number
  readonly loadUs: number
  /** Of the time the server's core was busy, how much went to others; 0 where it has no core of its own. */
  readonly othersShare: number
  /** From publishing until the last client has it, as messages a second. */
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface Visit {
  readonly contender: ContenderName
  readonly handshakesPerSecond: number
  readonly handshakeCpuUs: number
  readonly handshakeLoadUs: number
  readonly residentBytesPerSocket: number
  readonly fanout: Window
  /** The same with the receiving half on the load's core. */
  readonly moved?: Window
  /** Frames on one socket, at most, when its poll changes 200 times in a second. */
  readonly framesOf200: number
  /** Four polls on each socket: all four change at once, or one does. */
  readonly fourPolls: { readonly one: Window; readonly four: Window }
  readonly burst: {
    readonly ms: number
    readonly live: number
    readonly refused: number
    readonly failed: number
    readonly overflows: number
  }
}

/** The gateway sends a poll's tallies at most every 50 ms. */
const GAP_MS = 55
const IN_FLIGHT = 256
const CHANGES = 200

export async function visit(contender: ContenderName, options: VisitOptions): Promise<Visit> {
  const { load, cores, receiveCore, sockets } = options
  const server = await startContender(contender, { ...options, core: cores.server })
  const audience = startAudience({ program: load, port: server.port, engineIo: contender === 'socket.io', core: cores.load })
  const connect = async (polls: number) => {
    const arrival = await audience.connect({ count: sockets, inFlight: IN_FLIGHT, path: server.path(polls), tallies: polls })
    if (arrival.live < sockets) throw new Error(`${contender}: only ${arrival.live} of ${sockets} sockets came to life`)
    return arrival
  }
  const core = cores.server
  const window = (polls: number, messages: number) =>
    leastDisturbed(options.repeats, () => broadcasts({ server, audience, core, sockets, polls, messages }))
  const empty = async () => {
    await audience.close()
    await delay(500)
  }
  try {
    const framesOf200 = await changes(server, audience)
    await empty()

    const emptyBytes = residentBytes(server.pid)
    const [before, loadBefore] = [cpuTimes(server.pid), cpuTimes(audience.pid)]
    const arrival = await connect(1)
    const [used, loadUsed] = [cpuSince(server.pid, before), cpuSince(audience.pid, loadBefore)]
    await audience.run(options.settleMs)
    const residentBytesPerSocket = (residentBytes(server.pid) - emptyBytes) / sockets

    await broadcasts({ server, audience, core, sockets, polls: 1, messages: 3 * sockets })
    const fanout = await window(1, options.messages)
    let moved: Window | undefined
    if (receiveCore !== undefined) {
      receiveCore.move()
      moved = await window(1, options.messages).finally(() => receiveCore.restore())
    }
    await empty()

    await connect(POLLS)
    await broadcasts({ server, audience, core, sockets, polls: POLLS, messages: 2 * POLLS * sockets })
    const fourPolls = { one: await window(1, options.messages / 2), four: await window(POLLS, options.messages * 2) }
    await empty()

    return {
      contender,
      handshakesPerSecond: sockets / (arrival.us / 1e6),
      handshakeCpuUs: used.totalUs / sockets,
      handshakeLoadUs: loadUsed.totalUs / sockets,
      residentBytesPerSocket,
      fanout,
      ...(moved === undefined ? {} : { moved }),
      framesOf200,
      fourPolls,
      burst: await burst(server, audience, options.burst),
    }
  } catch (error) {
    throw new Error(`${contender} could not be measured`, { cause: error })
  } finally {
    await audience.stop()
    await server.stop()
  }
}

interface BroadcastOptions {
  readonly server: Contender
  readonly audience: Audience
  readonly core: number | undefined
  readonly sockets: number
  /** How many polls change at once. */
  readonly polls: number
  readonly messages: number
}

/**
 * Measures again, so often at most, while others had more than a twentieth of the core, and keeps what was disturbed least: chosen by
 * the disturbance alone, whatever came out.
 */
async function leastDisturbed(repeats: number, measure: () => Promise<Window>): Promise<Window> {
  let best = await measure()
  for (let again = 0; again < repeats && best.othersShare > 0.05; again++) {
    const next = await measure()
    if (next.othersShare < best.othersShare) best = next
  }
  return best
}

async function broadcasts({ server, audience, core, sockets, polls, messages }: BroadcastOptions): Promise<Window> {
  const perBroadcast = sockets * polls
  const count = Math.max(3, Math.round(messages / perBroadcast))
  await audience.reset()
  const [before, loadBefore] = [cpuTimes(server.pid), cpuTimes(audience.pid)]
  const busyBefore = core === undefined ? 0 : coreBusyUs(core)
  let spentUs = 0
  for (let done = 1; done <= count; done++) {
    const publishedAt = await server.publish(polls)
    spentUs += (await audience.received(done * perBroadcast)) - publishedAt
    await delay(Math.max(0, GAP_MS - (monotonicUs() - publishedAt) / 1_000))
  }
  const [used, loadUsed] = [cpuSince(server.pid, before), cpuSince(audience.pid, loadBefore)]
  const delivery = await audience.report()
  if (delivery.ended > 0) throw new Error(`${delivery.ended} sockets ended during the broadcasts`)
  if (delivery.least !== delivery.most) throw new Error(`a socket got ${delivery.least} tallies, another ${delivery.most}`)
  const delivered = count * perBroadcast
  return {
    cpuUs: used.totalUs / delivered,
    userUs: used.userUs / delivered,
    loadUs: loadUsed.totalUs / delivered,
    othersShare: core === undefined ? 0 : Math.max(0, 1 - used.totalUs / (coreBusyUs(core) - busyBefore)),
    perSecond: delivered / (spentUs / 1e6),
    p50Ms: delivery.p50Us / 1_000,
    p99Ms: delivery.p99Us / 1_000,
  }
}

/** One poll changes 200 times in a second, under a hundred sockets; this also warms the server up. */
async function changes(server: Contender, audience: Audience): Promise<number> {
  await audience.connect({ count: 100, inFlight: 20, path: server.path(1) })
  await delay(100)
  await audience.reset()
  const reading = audience.run(1_500)
  const startedAt = performance.now()
  for (let change = 0; change < CHANGES; change++) {
    await delay(Math.max(0, startedAt + (change * 1_000) / CHANGES - performance.now()))
    await server.publish(1)
  }
  await reading
  return (await audience.report()).most
}

async function burst(server: Contender, audience: Audience, count: number): Promise<Visit['burst']> {
  const overflowsBefore = backlogOverflows()
  const arrival = await audience.connect({ count, inFlight: count, path: server.path(1), timeoutMs: 30_000 })
  return {
    ms: arrival.us / 1_000,
    live: arrival.live,
    refused: arrival.refused,
    failed: arrival.failed + arrival.unfinished,
    overflows: backlogOverflows() - overflowsBefore,
  }
}
