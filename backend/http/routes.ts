/** The routes of the API as OpenAPI describes them. */
import { createRoute } from '@hono/zod-openapi'
import {
  BallotView,
  History,
  HistoryQuery,
  json,
  jsonBody,
  PollList,
  PollParams,
  problems,
  Receipt,
  PollView,
  TicketHeader,
  VoteBody,
} from './schemas.ts'

/** No credentials are asked for. */
const anyone: Record<string, string[]>[] = []
/** A voter is known by either; a request without them gets a cookie. */
const anyVoter = [{}, { voterCookie: [] }, { ticket: [] }]

export const wrongName = { 400: 'No poll can have this name.' } as const
const wrongNameOrTicket = { 400: 'No poll can have this name, or the ticket is longer than any.' } as const
const wrongVote = {
  400: 'The body is not JSON or not of this shape, no poll can have this name, or the ticket is longer than any.',
} as const
export const wrongBody = { 400: 'The body is not JSON or not of this shape, or no poll can have this name.' } as const
export const wrongOrigin = { 403: 'Pages of this origin may not do this.' } as const
/** The refusals that any request may get. */
export const anywhere = {
  408: 'The request did not come to its end in time.',
  413: 'The body is too large.',
  415: 'There is a body, and it is not application/json.',
  429:
    'More came from this address than one gets; others may share it. Try again after `Retry-After` seconds; nothing was changed. ' +
    '`RateLimit` and `RateLimit-Policy` name the limit (draft-ietf-httpapi-ratelimit-headers-10).',
  431: 'The headers are longer than 8 KiB.',
  503: 'Try again after `Retry-After` seconds; nothing was changed.',
  504: 'No backend answered in time. Whether the request was carried out is not known; repeating it is safe for GET and PUT.',
} as const

const asKnown = { description: 'As you know it.' } as const

export const listPolls = createRoute({
  method: 'get',
  path: '/api/polls',
  operationId: 'listPolls',
  security: anyone,
  summary: 'All polls with their totals',
  description: 'Carries an ETag.',
  responses: { 200: json(PollList, 'Oldest first.'), 304: asKnown, ...problems(anywhere) },
})

export const readPoll = createRoute({
  method: 'get',
  path: '/api/polls/{poll}',
  operationId: 'readPoll',
  security: anyVoter,
  summary: 'A poll, its tally, and the ballot of this browser',
  description: 'Gives a browser that has none its voter cookie. Carries an ETag.',
  request: { params: PollParams, headers: TicketHeader },
  responses: {
    200: json(PollView, 'The poll.'),
    304: asKnown,
    ...problems({ ...wrongNameOrTicket, 404: 'No such poll.', ...anywhere }),
  },
})

export const readBallot = createRoute({
  method: 'get',
  path: '/api/polls/{poll}/vote',
  operationId: 'readBallot',
  security: anyVoter,
  summary: 'The ballot of this browser',
  description:
    'Gives a browser that has none its voter cookie. The next vote needs a higher `order` than the ballot has, or none.',
  request: { params: PollParams, headers: TicketHeader },
  responses: {
    200: json(BallotView, 'The ballot, or null if there is none.'),
    ...problems({ ...wrongNameOrTicket, 404: 'No such poll.', ...anywhere }),
  },
})

export const vote = createRoute({
  method: 'put',
  path: '/api/polls/{poll}/vote',
  operationId: 'vote',
  security: [{ voterCookie: [] }, { ticket: [] }],
  summary: 'Cast or change the ballot of this browser',
  description:
    'Answered only after the ballot is committed. Repeating it is safe: one voter has one ballot. Of votes with an `order` the highest ' +
    'stands, so one that is delayed or repeated does not replace a later one.',
  request: { params: PollParams, headers: TicketHeader, body: jsonBody(VoteBody) },
  responses: {
    200: json(Receipt, 'The ballot stands.'),
    ...problems({
      ...wrongVote,
      403: 'The poll takes votes with a ticket, and this is none; or pages of this origin may not vote.',
      401: 'No voter cookie, or a forged one; this response sets a good one: repeat the request with it.',
      404: 'No such poll.',
      409:
        'The poll is closed or not open yet, or ballots may not be changed, or a vote with this or a higher order stands for another ' +
        'option (`superseded`, with the `ballot` and its `order`).',
      422: 'The poll has no such option.',
      ...anywhere,
    }),
  },
})

export const readHistory = createRoute({
  method: 'get',
  path: '/api/polls/{poll}/history',
  operationId: 'readHistory',
  security: anyone,
  summary: 'How the poll got where it is',
  description:
    'The counts at the end of each step of time in which they changed, oldest first, the latest thousand. Carries an ETag.',
  request: { params: PollParams, query: HistoryQuery },
  responses: {
    200: json(History, 'The points, as they were a second ago at the earliest.'),
    304: asKnown,
    ...problems({ 400: 'No such step, or no poll can have this name.', 404: 'No such poll.', ...anywhere }),
  },
})
