/** Issues one-time tickets and recognises them. The holder of a ticket has one ballot, on whatever device. */
import { randomBytes } from 'node:crypto'
import type { Database } from '../database/database.ts'
import { shareReads } from '../database/share-reads.ts'
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
  /** By slug and voter id, with a space between. */
  const readTicket = shareReads({
    load: async (keys) => {
      const asked = keys.map((key) => key.split(' '))
      const good = await database.query<{ slug: string; voter: string }>(GOOD_TICKETS, [
        asked.map(([slug]) => slug),
        asked.map(([, voter]) => voter),
      ])
      return new Map(good.map(({ slug, voter }) => [`${slug} ${voter}`, true]))
    },
  })
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
    isGood: async (slug, ticket) => (await readTicket(`${slug} ${ticketVoter(slug, ticket)}`)) !== undefined,
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

const GOOD_TICKETS = {
  name: 'good tickets',
  text: `SELECT p.slug, t.voter_id AS voter FROM unnest($1::text[], $2::uuid[]) AS asked (slug, voter)
JOIN livetally.polls p ON p.slug = asked.slug JOIN livetally.tickets t ON t.poll_id = p.id AND t.voter_id = asked.voter`,
}
