/** One replica's ballot box in a process of its own: arguments are the database, the poll, the votes in flight and the duration. */
import { createBallotBox } from '../../backend/ballots/ballot-box.ts'
import { connectPostgres } from '../../backend/database/postgres.ts'
import { sustain } from './sample.ts'
import { createElectorate, LOG, OPTIONS } from './scene.ts'

const [url = '', poll = '', inFlight, roundMs] = process.argv.slice(2)
const database = await connectPostgres({ url, log: LOG, migrations: false })
const box = createBallotBox({ database, log: LOG, now: Date.now })
const electorate = createElectorate()
const shared = Array.from({ length: 500 }, (_, i) => `00000000-0000-7000-8000-${String(i).padStart(12, '0')}`)
const { perSecond } = await sustain(Number(inFlight), Number(roundMs), async () => {
  const { voter, option, order } = electorate.vote()
  // one in ten is a voter that every replica sees
  const same = Math.random() < 0.1 ? shared[Math.floor(Math.random() * shared.length)] : undefined
  const { kind } = await box.cast({ slug: poll, voter: same ?? voter, option: option ?? OPTIONS[0], order })
  // another replica's clock may be ahead in the vote of a voter that both see
  if (kind !== 'accepted' && kind !== 'superseded') throw new Error(kind)
})
await box.drain()
await database.close()
process.send?.(perSecond)
process.disconnect?.()
