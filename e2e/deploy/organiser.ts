/** The organiser of a deployed installation, who has its admin token and nothing else. */
import { setTimeout as delay } from 'node:timers/promises'

export const POLL = 'cats-or-dogs'

/** Resolves once the balancer has a gateway to send work to. */
export async function untilServed(url: string, timeoutMs = 60_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  let said = ''
  while (performance.now() < deadline) {
    const answer = await fetch(`${url}/ready`).catch((error: unknown) => void (said = String(error)))
    if (answer?.status === 200) return
    if (answer !== undefined) said = `${answer.status} ${await answer.text()}`
    await delay(250)
  }
  throw new Error(`nothing is served at ${url} after ${timeoutMs} ms: ${said}`)
}

/** Opens the poll that the deploy tests vote in. */
export async function openPoll(url: string, adminToken: string): Promise<void> {
  const answer = await fetch(`${url}/api/polls`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${adminToken}` },
    body: JSON.stringify({
      poll: POLL,
      question: 'Cats or dogs?',
      options: [
        { id: 'cats', label: 'Cats' },
        { id: 'dogs', label: 'Dogs' },
      ],
    }),
  })
  if (answer.status !== 201) throw new Error(`the poll was not opened: ${answer.status} ${await answer.text()}`)
}

/** How many votes the poll has, as anyone may ask. */
export async function totalVotes(url: string): Promise<number> {
  const answer = await fetch(`${url}/api/polls/${POLL}`)
  const { tally } = (await answer.json()) as { tally: { total: number } }
  return tally.total
}
