/** A voter: a device that casts one vote after the other, with the page's ballot sender. */
import { createBallotSender } from '../../gateway/web/model/ballot-sender.ts'
import { exchange } from './http.ts'
import type { Voter } from './inhabitants.ts'
import { chance, createMachine, on, time } from './scheduler.ts'
import { world } from './surroundings.ts'

export function startVoter(name: string, slug: string, meanPauseMs: number): Voter {
  const machine = createMachine(name)
  return on(machine, () => {
    let cookie: string | undefined
    let lastOrder = 0
    let isOver = false
    const voter: Voter = {
      machine,
      slug,
      voter: () => cookie?.split('=')[1]?.split('.')[0],
      ledger: [],
      isSending: false,
      stop: () => void (isOver = true),
    }
    const sender = createBallotSender({
      put: async (vote, signal) => {
        const headers = { 'content-type': 'application/json', ...(cookie === undefined ? {} : { cookie }) }
        const request = { method: 'PUT', target: `/api/polls/${slug}/vote`, headers, body: JSON.stringify(vote) }
        const answer = await exchange(world.chooseGateway(), request, signal)
        cookie = answer.headers['set-cookie']?.split(';')[0] ?? cookie
        return new Response(answer.body, { status: answer.status, headers: answer.headers })
      },
      onChange: (state) => {
        const entry = voter.ledger.at(-1)
        voter.isSending = state.kind === 'sending'
        if (entry === undefined) return
        if (state.kind === 'counted') entry.countedAt = time()
        world.judge.voted(entry, state)
      },
      lastOrder: { read: () => lastOrder, write: (order) => void (lastOrder = order) },
      random: () => chance.code.next(),
    })
    const go = async () => {
      for (;;) {
        await new Promise((resolve) => setTimeout(resolve, chance.world.next() * 2 * meanPauseMs))
        if (isOver) return
        const option = chance.world.pick(['yes', 'no'])
        voter.ledger.push({ slug, option, at: time(), countedAt: undefined })
        sender.choose(option)
      }
    }
    void go()
    return voter
  })
}
