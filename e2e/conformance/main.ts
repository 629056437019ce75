/** `npm run conformance`: examines a server of the wire from outside, or a client at a server of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { type Outcome, runChecks } from './check.ts'
import { clientChecks } from './client-checks.ts'
import { organiserChecks, withPoll } from './organiser-checks.ts'
import { serverChecks } from './server-checks.ts'

const USAGE = `npm run conformance -- <server> [options]      what a server of livetally.v1.1 must do
npm run conformance -- client [options] -- <command>   what a client must do

a server: its address, as in wss://vote.example.org
  --poll NAME        a poll that it has, open or closed (needed where there is no token)
  --admin-token T    also checks what happens when polls change, with polls of its own
  --drain COMMAND    a shell command that makes the server leave; checked last
a client: a program that gets the address of a server, with its polls, as the last argument, and prints a line for
  each tally that it shows     tally <poll> <epoch> <version> <total>
  each poll that has ended     gone <poll>
both:
  --slow             also what takes longer than ten seconds`

const refuse = (complaint: string) => {
  process.stderr.write(`${complaint}\n\n${USAGE}\n`)
  return process.exit(2)
}

const { values, positionals } = (() => {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        poll: { type: 'string' },
        'admin-token': { type: 'string' },
        drain: { type: 'string' },
        slow: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
})()
const [subject, ...program] = positionals
if (values.help) {
  process.stdout.write(`${USAGE}\n`)
  process.exit(0)
}

const options = { slow: values.slow, say: (line: string) => void process.stdout.write(`${line}\n`) }
const results = await examine(subject ?? refuse('Say what is to be examined.'))
process.exit(results.some(({ failed }) => failed > 0) ? 1 : 0)

async function examine(what: string): Promise<Outcome[]> {
  if (what !== 'client') return await examineServer(what)
  if (program.length === 0) refuse('Say how the client is started: client -- python3 client.py')
  return [await runChecks(clientChecks, { command: program }, options)]
}

async function examineServer(address: string): Promise<Outcome[]> {
  const url = URL.parse(address)
  if (url === null || !['ws:', 'wss:'].includes(url.protocol)) {
    return refuse(`A server is named as in wss://vote.example.org, not ${address}.`)
  }
  const { poll, 'admin-token': adminToken, drain } = values
  const server = { url: `${url.protocol}//${url.host}` }
  const leave = drain === undefined ? {} : { drain: () => runInShell(drain) }
  const checkAt = (at: string) => runChecks(serverChecks, { ...server, poll: at, ...leave }, options)
  if (adminToken === undefined) return [await checkAt(poll ?? refuse('Name a poll with --poll, or give an --admin-token.'))]
  const organised = { ...server, adminToken }
  const outcomes = [await runChecks(organiserChecks, organised, options)]
  if (poll === undefined) await withPoll(organised, async (own) => void outcomes.push(await checkAt(own.poll)))
  else outcomes.push(await checkAt(poll))
  return outcomes
}

async function runInShell(command: string): Promise<void> {
  const [code] = (await once(spawn(command, { shell: true, stdio: 'inherit' }), 'exit')) as [number | null]
  if (code !== 0) throw new Error(`the command that makes the server leave ended with ${code}`)
}
