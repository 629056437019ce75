/** What goes in and out of the API, checked at run time and shown in `/openapi.json`. */
import { z } from '@hono/zod-openapi'
import { OptionId, PollFrame, PollId, PollOption, TallyFrame } from '../shared/protocol/frames.ts'
import { Problem, PROBLEM_CONTENT_TYPE } from '../shared/protocol/problem.ts'

export const PollParams = z.object({ poll: PollId })

const Options = z
  .array(PollOption)
  .min(2, 'a poll has at least two options')
  .max(50, 'a poll has 50 options at most')
  .refine((options) => new Set(options.map((option) => option.id)).size === options.length, 'option ids must differ')
const Question = z.string().trim().min(1).max(500)
const Time = z.iso.datetime({ offset: true }).transform((text) => new Date(text))

const settings = {
  opensAt: Time.nullable().optional(),
  closesAt: Time.nullable().optional(),
  changeAllowed: z.boolean().optional(),
  visibility: z.enum(['live', 'after-vote', 'after-close']).optional(),
}

export const NewPollBody = z
  .strictObject({ poll: PollId, question: Question, options: Options, ...settings })
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
    ...settings,
  })
  .refine((edit) => Object.keys(edit).length > 0, 'name at least one field to change')
  .openapi('PollEdit', { example: { state: 'closed' } })

export const VoteBody = z.strictObject({ option: OptionId }).openapi('Vote', { example: { option: 'cats' } })

export const Ballot = z.object({ option: OptionId }).openapi('Ballot')
export const Standing = z.object({ poll: PollFrame, tally: TallyFrame, ballot: Ballot.nullable() }).openapi('Standing')
export const PollList = z.object({ polls: z.array(PollFrame.extend({ total: z.int() })) }).openapi('PollList')
export const Receipt = z.object({ poll: PollId, option: OptionId }).openapi('Receipt')

/** The response entry of a route for each problem it may answer with. */
export function problems<const Status extends number>(descriptions: Readonly<Record<Status, string>>) {
  const entries = Object.entries<string>(descriptions).map(([status, description]) => [
    status,
    { description, content: { [PROBLEM_CONTENT_TYPE]: { schema: Problem } } },
  ])
  return Object.fromEntries(entries) as Record<
    Status,
    { description: string; content: { [PROBLEM_CONTENT_TYPE]: { schema: typeof Problem } } }
  >
}

export function json<Schema extends z.ZodType>(schema: Schema, description: string) {
  return { description, content: { 'application/json': { schema } } }
}

export function jsonBody<Schema extends z.ZodType>(schema: Schema) {
  return { required: true, content: { 'application/json': { schema } } }
}
