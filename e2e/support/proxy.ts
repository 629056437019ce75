/** A real proxy that ends TLS before gateways, with the configuration that the project ships for it. */
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Certificate } from './certificate.ts'
import { providePrograms } from './debian.ts'
import { freePort } from './free-port.ts'
import { createServer } from './server.ts'

export interface TlsProxy {
  /** Where it ends TLS, with the name in the certificate. */
  readonly url: string
  /** Where it listens without TLS. */
  readonly plainUrl: string
  [Symbol.asyncDispose](): Promise<void>
}

/** What the proxy stands before: ports of this machine. */
export interface ProxyOptions {
  readonly gateways: readonly number[]
  readonly certificate: Certificate
}

export interface Places {
  readonly port: number
  readonly plainPort: number
  /** For the files of the proxy; removed when it stops. */
  readonly directory: string
}

export interface ProxyRecipe {
  /** The program, which is also the name of its Debian package. */
  readonly program: string
  /** The shipped configuration, from the project's root. */
  readonly shipped: string
  /** The shipped text with the ports, addresses and certificates of the test in place of the examples. */
  readonly adapt: (shipped: string, places: Places) => string
  readonly args: (file: string) => readonly string[]
  /** Where it would write files of its own unless told, by the variable that tells it. */
  readonly homeVariable?: string
  /** What it prints once it serves. */
  readonly readyLine: RegExp
}

export async function startProxy({ program, shipped, adapt, args, homeVariable, readyLine }: ProxyRecipe): Promise<TlsProxy> {
  const [command = ''] = await providePrograms([program])
  const directory = await mkdtemp(join(tmpdir(), `livetally-${program}-`))
  const [port, plainPort] = [await freePort(), await freePort()]
  const file = join(directory, 'settings')
  const text = await readFile(fileURLToPath(new URL(`../../${shipped}`, import.meta.url)), 'utf8')
  await writeFile(file, adapt(text, { port, plainPort, directory }))
  const discard = ['rm', '-rf', directory] as const
  const env = homeVariable === undefined ? [] : [`${homeVariable}=${directory}`]
  const server = createServer({
    name: command,
    command: 'env',
    args: [...env, command, ...args(file)],
    cwd: directory,
    readyLine,
    discard,
  })
  const stop = () => server.discard('SIGTERM')
  try {
    await server.start()
  } catch (error) {
    await stop()
    throw error
  }
  return { url: `https://localhost:${port}`, plainUrl: `http://localhost:${plainPort}`, [Symbol.asyncDispose]: stop }
}

/** Replaces what the shipped text must contain, so that a test does not go on with a part of it that is no longer there. */
export function replace(text: string, replacements: readonly (readonly [from: string | RegExp, to: string])[]): string {
  return replacements.reduce((before, [from, to]) => {
    const after = before.replaceAll(from, () => to)
    if (after === before) throw new Error(`the shipped configuration has no ${from}`)
    return after
  }, text)
}
