/** The routes of the API as OpenAPI describes them. */
import { createRoute } from '@hono/zod-openapi'
import {
  json,
  jsonBody,
  NewPollBody,
  PollEditBody,
  PollList,
  PollParams,
  problems,
  Receipt,
  Standing,
  VoteBody,
} from './api-schemas.ts'

const security = [{ adminToken: [] }]
const wrongBody = {
  400: 'The body is not JSON or not of this shape.',
  413: 'The body is too large.',
  415: 'The body is not application/json.',
} as const
const busy = { 503: 'Try again after `Retry-After` seconds; nothing was changed.' } as const

export const listPolls = createRoute({
  method: 'get',
  path: '/api/polls',
  summary: 'All polls with their totals',
  responses: { 200: json(PollList, 'Oldest first.'), ...problems(busy) },
})

export const readPoll = createRoute({
  method: 'get',
  path: '/api/polls/{poll}',
  summary: 'A poll, its tally, and the ballot of this browser',
  description: 'Gives a browser that has none its voter cookie. Carries an ETag.',
  request: { params: PollParams },
  responses: {
    200: json(Standing, 'The standing.'),
    304: { description: 'As you know it.' },
    ...problems({ 404: 'No such poll.', ...busy }),
  },
})

export const vote = createRoute({
  method: 'put',
  path: '/api/polls/{poll}/vote',
  summary: 'Cast or change the ballot of this browser',
  description: 'Answered only after the ballot is committed. Repeating it is safe: one voter has one ballot.',
  request: { params: PollParams, body: jsonBody(VoteBody) },
  responses: {
    200: json(Receipt, 'The ballot stands.'),
    ...problems({
      ...wrongBody,
      401: 'No voter cookie, or a forged one; this response sets a good one: repeat the request with it.',
      404: 'No such poll.',
      409: 'The poll is closed or not open yet, or ballots may not be changed.',
      422: 'The poll has no such option.',
      ...busy,
    }),
  },
})

export const createPoll = createRoute({
  method: 'post',
  path: '/api/polls',
  summary: 'Create a poll',
  security,
  request: { body: jsonBody(NewPollBody) },
  responses: {
    201: json(Standing, 'It exists.'),
    ...problems({ ...wrongBody, 401: 'Not the admin token.', 409: 'The name is taken.', ...busy }),
  },
})

export const editPoll = createRoute({
  method: 'patch',
  path: '/api/polls/{poll}',
  summary: 'Close, reopen or edit a poll',
  security,
  request: { params: PollParams, body: jsonBody(PollEditBody) },
  responses: {
    200: json(Standing, 'As it is now.'),
    ...problems({ ...wrongBody, 401: 'Not the admin token.', 404: 'No such poll.', ...busy }),
  },
})
