/** The schemas of the API's requests and responses: requests are checked by them, and `/openapi.json` shows them. */
import { z } from '@hono/zod-openapi'
import { OptionId, PollFrame, PollSlug, PollOption, TallyFrame } from '../../shared/protocol/frames.ts'
import { Problem, PROBLEM_CONTENT_TYPE } from '../../shared/protocol/problem.ts'
import { MAX_TICKET_LENGTH } from '../../shared/protocol/vote-bundle.ts'
import { MAX_CLIENT_ORDER } from '../../shared/protocol/vote-order.ts'

export const PollParams = z.object({ poll: PollSlug })

/** Text of 1 to so many characters, not UTF-16 units. Postgres can hold neither a NUL nor an unpaired surrogate. */
const text = (max: number) =>
  z
    .string()
    .regex(new RegExp(String.raw`^[^\x00]{1,${max}}$`, 'u'), `1 to ${max} characters without NUL`)
    .refine((given) => given.isWellFormed(), 'an unpaired surrogate is no character')
const Options = z
  .array(PollOption.extend({ label: text(200) }))
  .min(2, 'a poll has at least two options')
  .max(50, 'a poll has 50 options at most')
  .refine((options) => new Set(options.map((option) => option.id)).size === options.length, 'option ids must differ')
  // JSON Schema cannot ask for more than that the options differ
  .openapi({ uniqueItems: true, description: 'Their ids differ.' })
const Question = z
  .string()
  .trim()
  .pipe(text(500))
  // white space around it is dropped before it is measured
  .openapi({ type: 'string', pattern: String.raw`^\s*[^\s\x00](?:[^\x00]{0,498}[^\s\x00])?\s*$` })
const Time = z.iso
  .datetime({ offset: true })
  .transform((given) => new Date(given))
  .refine((time) => time.getUTCFullYear() >= 1 && time.getUTCFullYear() <= 9999, 'a time of the years 1 to 9999')
  .openapi({ description: 'Of the years 1 to 9999.' })

const schedule = {
  opensAt: Time.nullable().optional(),
  closesAt: Time.nullable().optional(),
}
const Visibility = z.enum(['live', 'after-vote', 'after-close'])
const Policy = z.enum(['cookie', 'ticket'])
const rules = { changeAllowed: z.boolean().optional(), visibility: Visibility.optional() }
const SqlName = text(200)

/** A table that another program writes, counted in place of ballots. */
const Source = z.strictObject({ table: SqlName, optionColumn: SqlName })

export const NewPollBody = z
  .strictObject({
    poll: PollSlug,
    question: Question,
    options: Options,
    ...schedule,
    ...rules,
    policy: Policy.optional(),
    source: Source.optional(),
  })
  .openapi('NewPoll', {
    example: {
      poll: 'cats-or-dogs',
      question: 'Cats or dogs?',
      options: [
        { id: 'cats', label: 'Cats' },
        { id: 'dogs', label: 'Dogs' },
      ],
    },
  })

export const PollEditBody = z
  .strictObject({
    question: Question.optional(),
    options: Options.optional(),
    state: z.enum(['open', 'closed']).optional(),
    ...schedule,
    ...rules,
  })
  .refine((edit) => Object.keys(edit).length > 0, 'name at least one field to change')
  .openapi('PollEdit', { minProperties: 1, example: { state: 'closed' } })

const ORDER_RANGE = `an order is a whole number from 1 to ${MAX_CLIENT_ORDER}`
export const VoteBody = z
  .strictObject({
    option: OptionId,
    order: z
      .int(ORDER_RANGE)
      .min(1, ORDER_RANGE)
      .max(MAX_CLIENT_ORDER, ORDER_RANGE)
      .optional()
      .openapi({
        description:
          "Of one voter's votes in a poll the one with the highest order stands, whichever arrives last. A client that counts its votes " +
          'gives each the next number above the order of its ballot; a vote without one is ordered by its arrival.',
      }),
  })
  .openapi('Vote', { example: { option: 'cats' } })

/** As an answer names it: 0 where another program wrote the ballot. */
const Order = z.int().min(0)
export const Ballot = z.object({ option: OptionId, order: Order }).openapi('Ballot')
export const BallotView = z.object({ poll: PollSlug, ballot: Ballot.nullable() }).openapi('BallotView')
export const Settings = z.object({ changeAllowed: z.boolean(), visibility: Visibility, policy: Policy }).openapi('Settings')
export const PollView = z
  .object({ poll: PollFrame, tally: TallyFrame, ballot: Ballot.nullable(), settings: Settings })
  .openapi('PollView')
/** A one-time ticket, in place of the voter cookie. */
export const TicketHeader = z.object({ 'livetally-ticket': z.string().max(MAX_TICKET_LENGTH).optional() })
export const TicketsBody = z.strictObject({ count: z.int().min(1).max(100_000) }).openapi('Tickets', { example: { count: 100 } })

const STEP_SECONDS = { '1s': 1, '10s': 10, '1m': 60, '10m': 600, '1h': 3_600 } as const
export const HistoryQuery = z.object({
  step: z
    .enum(['1s', '10s', '1m', '10m', '1h'])
    .default('10s')
    .transform((step) => ({ step, seconds: STEP_SECONDS[step] })),
})
export const History = z
  .object({
    poll: PollSlug,
    step: z.string(),
    points: z.array(z.object({ at: z.string(), counts: z.record(z.string(), z.int()).optional(), total: z.int() })),
  })
  .openapi('History')
export const Gateways = z
  .object({ gateways: z.array(z.object({ id: z.string(), phase: z.string(), sockets: z.int() })) })
  .openapi('Gateways')
const sourceGone = z.boolean().optional().openapi({
  description:
    "True where the poll counts another program's table which is gone: its counts are the last ones. Absent everywhere else.",
})
export const PollList = z.object({ polls: z.array(PollFrame.extend({ total: z.int(), sourceGone })) }).openapi('PollList')
export const Receipt = z.object({ poll: PollSlug, option: OptionId, order: Order }).openapi('Receipt')

/** As the document shows it. */
const ProblemView = z.object(Problem.shape).openapi('Problem')

/** The response entry of a route for each problem it may answer with. */
export function problems<const Status extends number>(descriptions: Readonly<Record<Status, string>>) {
  const entries = Object.entries<string>(descriptions).map(([status, description]) => [
    status,
    { description, content: { [PROBLEM_CONTENT_TYPE]: { schema: ProblemView } } },
  ])
  return Object.fromEntries(entries) as Record<
    Status,
    { description: string; content: { [PROBLEM_CONTENT_TYPE]: { schema: typeof ProblemView } } }
  >
}

export function json<Schema extends z.ZodType>(schema: Schema, description: string) {
  return { description, content: { 'application/json': { schema } } }
}

export function csv(description: string) {
  return { description, content: { 'text/csv': { schema: z.string() } } }
}

export function jsonBody<Schema extends z.ZodType>(schema: Schema) {
  return { required: true, content: { 'application/json': { schema } } }
}
