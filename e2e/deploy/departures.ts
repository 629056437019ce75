/** Which containers were told to leave during a deploy, and how they left. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Replacement } from '../rollout/record.ts'

export interface Departures {
  /** In the order in which they left. */
  readonly left: readonly Replacement[]
  stop(): Promise<void>
}

interface Event {
  readonly Action: string
  readonly timeNano: number
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> }
}

/** Watches the containers that have a label, such as `com.docker.swarm.service.name=livetally_gateway`. */
export function watchDepartures(label: string): Departures {
  const filters = ['type=container', 'event=kill', 'event=die', `label=${label}`].flatMap((filter) => ['--filter', filter])
  const child = spawn('docker', ['events', ...filters, '--format', '{{json .}}'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const signalled = new Map<string, number>()
  const left: Replacement[] = []
  createInterface(child.stdout).on('line', (line) => {
    const { Action, timeNano, Actor } = JSON.parse(line) as Event
    const at = Math.round(timeNano / 1e6)
    if (Action === 'kill') signalled.set(Actor.ID, Math.min(at, signalled.get(Actor.ID) ?? at))
    else {
      const slot = Actor.Attributes['name'] ?? Actor.ID
      const exitCode = Number(Actor.Attributes['exitCode'])
      left.push({ slot, signalledAt: signalled.get(Actor.ID) ?? at, exitedAt: at, exitCode })
    }
  })
  return {
    left,
    async stop() {
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
  }
}
