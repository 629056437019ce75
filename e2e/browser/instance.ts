import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PollFrame, TallyFrame } from '../../shared/protocol/frames.ts'
import { startChild, type Child } from '../support/child.ts'
import { freePort } from '../support/free-port.ts'

export const ADMIN_TOKEN = 'an-admin-token-for-browser-tests'

/** A poll as the API takes it. */
export interface Draft {
  readonly poll: string
  readonly question: string
  readonly options: readonly { readonly id: string; readonly label: string }[]
  readonly [setting: string]: unknown
}

/** Livetally in one process, on a port and with data that outlast a restart. */
export interface Instance {
  readonly url: string
  /** Creates a poll, or throws with what the API said. */
  create(draft: Draft): Promise<void>
  edit(poll: string, changes: object): Promise<void>
  reset(poll: string): Promise<void>
  remove(poll: string): Promise<void>
  read(poll: string): Promise<Standing>
  /** Votes as a browser of its own, once for each option in the list. */
  vote(poll: string, ...options: readonly string[]): Promise<void>
  stop(): Promise<void>
  start(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** What the API says of a poll to anyone. */
export interface Standing {
  readonly poll: PollFrame
  readonly tally: TallyFrame
}

export async function startInstance(settings: Readonly<Record<string, string>> = {}): Promise<Instance> {
  const dataDir = await mkdtemp(join(tmpdir(), 'livetally-browser-'))
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const env = { PORT: String(port), DATA_DIR: dataDir, ADMIN_TOKEN, ...settings }
  let child: Child | undefined

  const ask = async (method: string, path: string, body: object | undefined, headers: Record<string, string> = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      body: body === undefined ? null : JSON.stringify(body),
    })
    return { response, text: await response.text() }
  }
  const administer = async (method: string, path: string, body?: object) => {
    const { response, text } = await ask(method, path, body, { authorization: `Bearer ${ADMIN_TOKEN}` })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
  }
  const instance: Instance = {
    url,
    create: (draft) => administer('POST', '/api/polls', draft),
    edit: (poll, changes) => administer('PATCH', `/api/polls/${poll}`, changes),
    reset: (poll) => administer('POST', `/api/polls/${poll}/reset`),
    remove: (poll) => administer('DELETE', `/api/polls/${poll}`),
    read: async (poll) => (await (await fetch(`${url}/api/polls/${poll}`)).json()) as Standing,
    async vote(poll, ...options) {
      await Promise.all(
        options.map(async (option) => {
          const first = await ask('PUT', `/api/polls/${poll}/vote`, { option })
          const cookie = first.response.headers.getSetCookie()[0]?.split(';')[0] ?? ''
          const { response, text } = await ask('PUT', `/api/polls/${poll}/vote`, { option }, { cookie })
          if (!response.ok) throw new Error(`${response.status} ${text}`)
        }),
      )
    },
    async stop() {
      await child?.stop()
      child = undefined
    },
    async start() {
      child = startChild({ entry: 'infra/standalone/main.ts', env })
      await child.answers(`${url}/ready`)
    },
    async [Symbol.asyncDispose]() {
      await child?.[Symbol.asyncDispose]()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
  await instance.start()
  return instance
}
