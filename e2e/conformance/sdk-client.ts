/** The SDK as a client that can be examined: `npm run conformance -- client -- node e2e/conformance/sdk-client.ts`. */
import { createTallyClient } from '../../gateway/web/client/tally-client.ts'

const url = new URL(process.argv[2] ?? '')
const client = createTallyClient({ url: `${url.protocol}//${url.host}${url.pathname}` })
const say = (...words: readonly unknown[]) => void process.stdout.write(`${words.join(' ')}\n`)
client.addEventListener('tally', ({ detail: { poll, epoch, version, total } }) => say('tally', poll, epoch, version, total))
for (const poll of url.searchParams.getAll('poll')) client.subscribe(poll, () => {}, { onGone: () => say('gone', poll) })
client.addEventListener('status', ({ detail }) => {
  if (detail.state === 'closed') for (const poll of url.searchParams.getAll('poll')) say('gone', poll)
})
