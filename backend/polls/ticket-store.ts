/** Issues one-time tickets and recognises them. The holder of a ticket has one ballot, on whatever device. */
import { randomBytes } from 'node:crypto'
import type { Database } from '../database/database.ts'
import { hashedUuid } from './voter-id.ts'

export type IssueOutcome =
  /** The tickets, of which only hashes are stored: this is the only time they are known. */
  | { readonly kind: 'issued'; readonly tickets: readonly string[] }
  | { readonly kind: 'unknown-poll' }
  /** The poll takes anyone with a cookie. */
  | { readonly kind: 'no-tickets-here' }

export interface TicketStore {
  /** Adds `count` tickets to those the poll has. */
  issue(slug: string, count: number): Promise<IssueOutcome>
  /** Whether the ticket is one of the poll's. */
  isGood(slug: string, ticket: string): Promise<boolean>
}

export function createTicketStore(database: Database): TicketStore {
  return {
    issue: async (slug, count) => {
      const [row] = await database.query<{ id: number; policy: string }>(POLL, [slug])
      if (row === undefined) return { kind: 'unknown-poll' }
      if (row.policy !== 'ticket') return { kind: 'no-tickets-here' }
      const tickets = Array.from({ length: count }, () => randomBytes(16).toString('base64url'))
      for (let i = 0; i < tickets.length; i += 10_000) {
        const voters = tickets.slice(i, i + 10_000).map((ticket) => ticketVoter(slug, ticket))
        await database.query(ISSUE, [row.id, `{${voters.join()}}`])
      }
      return { kind: 'issued', tickets }
    },
    isGood: async (slug, ticket) => (await database.query(IS_GOOD, [slug, ticketVoter(slug, ticket)])).length > 0,
  }
}

/**
 * The voter id that a ticket stands for: a hash of the ticket, from which the ticket cannot be found, since it has 128 random bits.
 * In a poll with policy `ticket` only voter ids of issued tickets may vote.
 */
export function ticketVoter(slug: string, ticket: string): string {
  return hashedUuid('livetally ticket', slug, ticket)
}

const POLL = { name: 'ticket poll', text: 'SELECT id, policy FROM livetally.polls WHERE slug = $1' }

const ISSUE = {
  name: 'issue tickets',
  text: 'INSERT INTO livetally.tickets (poll_id, voter_id) SELECT $1, v FROM unnest($2::uuid[]) v ORDER BY v',
}

const IS_GOOD = {
  name: 'is good ticket',
  text: `SELECT FROM livetally.tickets t JOIN livetally.polls p ON p.id = t.poll_id WHERE p.slug = $1 AND t.voter_id = $2`,
}
