/** A screen: a device with the SDK as browsers get it, that follows some polls. */
import { createTallyClient } from '../../gateway/web/client/tally-client.ts'
import type { PollFrame, TallyFrame } from '../../shared/protocol/frames.ts'
import type { Screen, SocketView } from './inhabitants.ts'
import { chance, createMachine, on, plan } from './scheduler.ts'
import { VirtualWebSocket } from './sockets.ts'
import { world } from './surroundings.ts'

/** How long a screen waits before it asks again for a poll that is gone. */
const ASK_AGAIN_MS = 400

export function openScreen(name: string, slugs: readonly string[]): Screen {
  const machine = createMachine(name)
  return on(machine, () => {
    const sockets = new Set<SocketView>()
    class Socket extends VirtualWebSocket {
      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols)
        sockets.add(this)
        this.addEventListener('close', () => sockets.delete(this))
      }
    }
    // what a browser has, and Node has not
    const page = { window: new EventTarget(), document: new EventTarget() }
    Object.assign(globalThis, page)
    const client = createTallyClient({
      url: 'ws://votes.example/ws',
      // it has what the SDK uses
      WebSocket: Socket as unknown as typeof WebSocket,
      random: () => chance.code.next(),
    })
    Object.assign(globalThis, { window: undefined, document: undefined })
    let isClosed = false
    const screen: Screen = {
      machine,
      client,
      shown: new Map(),
      gone: new Set(),
      slugs,
      excusedUntil: 0,
      sockets,
      wake: (isNetwork) => {
        if (isNetwork) page.window.dispatchEvent(new Event('online'))
        else page.document.dispatchEvent(new Event('visibilitychange'))
      },
      close() {
        isClosed = true
        plan(machine, 0, () => client.close())
      },
    }
    const subscribe = (slug: string) => {
      const show = (tally: TallyFrame, poll: PollFrame) => world.judge.shown(screen, tally, poll)
      const onGone = () => {
        screen.gone.add(slug)
        if (client.status.state !== 'closed') world.sometimes.note('a poll ends alone while its socket goes on')
        setTimeout(() => {
          if (!isClosed && client.status.state !== 'closed') subscribe(slug)
        }, ASK_AGAIN_MS)
      }
      client.subscribe(slug, show, { onGone })
    }
    for (const slug of slugs) subscribe(slug)
    client.addEventListener('status', () => world.judge.statusChanged(screen))
    return screen
  })
}
