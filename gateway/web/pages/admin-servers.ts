import { adminMessages } from './admin-language.ts'
import { byId, setText } from './dom.ts'
import { formatNumber } from './language.ts'

/** A gateway's presence, which it announces every second. */
export interface GatewayReport {
  readonly id: string
  readonly phase: string
  readonly sockets: number
}

/** Draws the table of gateways: their phase, and how many screens each one serves. */
export function drawServers(gateways: readonly GatewayReport[]): void {
  const text = adminMessages.servers
  const sockets = gateways.reduce((sum, each) => sum + each.sockets, 0)
  const isMoving = gateways.some(({ phase }) => phase === 'draining')
  const summary = text.summary(formatNumber(gateways.length), formatNumber(sockets))
  setText(
    byId('servers-summary', HTMLElement),
    gateways.length === 0 ? text.none : `${summary}${isMoving ? ` · ${text.draining}` : ''}`,
  )
  byId('servers', HTMLTableElement).hidden = gateways.length === 0
  byId('server-rows', HTMLTableSectionElement).replaceChildren(
    ...gateways
      .toSorted((a, b) => (a.id < b.id ? -1 : 1))
      .map(({ id, phase, sockets: open }) => {
        const row = document.createElement('tr')
        const state = document.createElement('span')
        state.className = 'tag'
        state.dataset['phase'] = phase
        state.textContent = text.phases[phase] ?? phase
        for (const content of [id, state, formatNumber(open)]) row.insertCell().append(content)
        return row
      }),
  )
}
