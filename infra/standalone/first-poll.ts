/** Creates the poll that a newcomer finds, and simulates voters on request. */
import type { BallotBox } from '../../backend/ballots/ballot-box.ts'
import type { PollStore } from '../../backend/polls/poll-store.ts'
import { uuidV7 } from '../../backend/polls/voter-id.ts'
import type { Clock } from '../../shared/lifecycle/clock.ts'

const FIRST_POLL = {
  slug: 'cats-or-dogs',
  question: 'Cats or dogs?',
  options: [
    { id: 'cats', label: 'Cats' },
    { id: 'dogs', label: 'Dogs' },
  ],
}

/** Creates a poll when there is none; resolves to the slug of the oldest. */
export async function ensureFirstPoll(polls: PollStore): Promise<string> {
  const [oldest] = await polls.list()
  if (oldest !== undefined) return oldest.slug
  await polls.create(FIRST_POLL)
  return FIRST_POLL.slug
}

export interface SimulationOptions {
  readonly polls: PollStore
  readonly ballotBox: BallotBox
  readonly slug: string
  readonly voters: number
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly signal: AbortSignal
}

/** How many votes all simulated voters together cast. */
const VOTES_PER_SECOND = 10

/** Simulates voters, who vote one after the other and then change their votes at random, until the signal aborts. */
export async function simulate(options: SimulationOptions): Promise<void> {
  const { ballotBox, slug, clock, random, signal } = options
  const definition = await options.polls.get(slug)
  const ids = definition?.options.map((option) => option.id) ?? []
  const crowd = Array.from({ length: options.voters }, () => uuidV7(clock.date()))
  // the voters' preference drifts, so that the bars move
  for (let vote = 0; !signal.aborted; vote += 1) {
    const voter = crowd[vote < crowd.length ? vote : Math.floor(random() * crowd.length)] ?? ''
    const mood = (Math.sin(clock.now() / 20_000) + 1) / 2
    const option = ids[Math.min(ids.length - 1, Math.floor(((random() + mood) / 2) * ids.length))] ?? ''
    await ballotBox.cast({ slug, voter, option, order: vote + 1 })
    await clock.wait((1_000 / VOTES_PER_SECOND) * 2 * random(), signal)
  }
}
