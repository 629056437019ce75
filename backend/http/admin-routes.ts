/** The admin routes as OpenAPI describes them; each of them requires the admin token. */
import { createRoute, z } from '@hono/zod-openapi'
import { PollSlug } from '../../shared/protocol/frames.ts'
import {
  csv,
  Gateways,
  json,
  jsonBody,
  NewPollBody,
  PollEditBody,
  PollParams,
  problems,
  PollView,
  TicketsBody,
} from './schemas.ts'
import { anywhere, wrongBody, wrongName, wrongOrigin } from './routes.ts'

const security = [{ adminToken: [] }]
const noToken = { 401: 'The admin token is missing or wrong.' } as const

export const createPoll = createRoute({
  method: 'post',
  path: '/api/polls',
  operationId: 'createPoll',
  summary: 'Create a poll',
  security,
  request: { body: jsonBody(NewPollBody) },
  responses: {
    201: json(PollView, 'It exists.'),
    ...problems({
      ...wrongBody,
      ...noToken,
      ...wrongOrigin,
      409: 'The name is taken.',
      422: 'The table that `source` names cannot be counted.',
      ...anywhere,
    }),
  },
})

export const editPoll = createRoute({
  method: 'patch',
  path: '/api/polls/{poll}',
  operationId: 'editPoll',
  summary: 'Close, reopen or edit a poll',
  security,
  request: { params: PollParams, body: jsonBody(PollEditBody) },
  responses: {
    200: json(PollView, 'As it is now.'),
    ...problems({ ...wrongBody, ...noToken, ...wrongOrigin, 404: 'No such poll.', ...anywhere }),
  },
})

export const resetPoll = createRoute({
  method: 'post',
  path: '/api/polls/{poll}/reset',
  operationId: 'resetPoll',
  summary: 'Remove all ballots and start anew',
  security,
  request: { params: PollParams },
  responses: {
    200: json(PollView, 'Empty, in a new epoch.'),
    ...problems({ ...wrongName, ...noToken, ...wrongOrigin, 404: 'No such poll.', ...anywhere }),
  },
})

export const removePoll = createRoute({
  method: 'delete',
  path: '/api/polls/{poll}',
  operationId: 'removePoll',
  summary: 'Remove a poll with its ballots',
  security,
  request: { params: PollParams },
  responses: {
    204: { description: 'It is gone.' },
    ...problems({ ...wrongName, ...noToken, ...wrongOrigin, 404: 'No such poll.', ...anywhere }),
  },
})

export const issueTickets = createRoute({
  method: 'post',
  path: '/api/polls/{poll}/tickets',
  operationId: 'issueTickets',
  summary: 'Issue one-time tickets',
  description: 'A line with a link for each ticket. Only hashes are stored: this answer is the only place the tickets are in.',
  security,
  request: { params: PollParams, body: jsonBody(TicketsBody) },
  responses: {
    201: csv('One link a line, after a header line.'),
    ...problems({
      ...wrongBody,
      ...noToken,
      ...wrongOrigin,
      404: 'No such poll.',
      409: 'The poll takes no tickets.',
      ...anywhere,
    }),
  },
})

export const exportPoll = createRoute({
  method: 'get',
  path: '/api/polls/{poll}/export.csv',
  operationId: 'exportPoll',
  summary: 'Totals and ballots, without voter ids',
  security,
  request: { params: PollParams },
  responses: { 200: csv('Streamed.'), ...problems({ ...wrongName, ...noToken, 404: 'No such poll.', ...anywhere }) },
})

/** Zero where the ballots for an option were all changed; absent where it never had one. */
const Counts = z.object({ poll: PollSlug, counts: z.record(z.string(), z.int()) }).openapi('Counts')

export const readCounts = createRoute({
  method: 'get',
  path: '/api/polls/{poll}/counts',
  operationId: 'readCounts',
  summary: 'What each option has, also where results are hidden',
  description:
    'Options that were withdrawn are among them: their ballots are kept, and count again once an option has the same id.',
  security,
  request: { params: PollParams },
  responses: { 200: json(Counts, 'The counts.'), ...problems({ ...wrongName, ...noToken, 404: 'No such poll.', ...anywhere }) },
})

export const listGateways = createRoute({
  method: 'get',
  path: '/api/gateways',
  operationId: 'listGateways',
  summary: 'The gateways that are here, their sockets and phases',
  security,
  responses: {
    200: json(Gateways, 'As each said within the last five seconds.'),
    ...problems({ ...noToken, ...anywhere }),
  },
})
