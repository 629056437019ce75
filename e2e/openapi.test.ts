/** The description of the API (`/openapi.json`), held against the API. */
import assert from 'node:assert/strict'
import { request, type IncomingHttpHeaders } from 'node:http'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { ADMIN_TOKEN, createVoter, startCluster, type Cluster } from './support/cluster.ts'
import { fuzz } from './support/fuzz.ts'
import { misfits, type Schema } from './support/json-schema.ts'

type Content = Readonly<Record<string, { readonly schema: Schema }>>
interface Operation {
  readonly operationId?: string
  readonly security?: readonly Readonly<Record<string, unknown>>[]
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: Schema }[]
  readonly requestBody?: { readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>
}
interface Document {
  readonly servers?: readonly { readonly url: string }[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>
    readonly securitySchemes: Readonly<Record<string, unknown>>
  }
}
interface Listed extends Operation {
  readonly method: string
  readonly path: string
}

const POLL = {
  poll: 'cats-or-dogs',
  question: 'Cats or dogs?',
  options: [
    { id: 'cats', label: 'Cats' },
    { id: 'dogs', label: 'Dogs' },
  ],
}

describe('the description of the API', () => {
  let cluster: Cluster
  let url: string
  let cookie: string
  let document: Document
  let operations: Listed[]
  let schemas: Document['components']['schemas']

  before(async () => {
    cluster = await startCluster()
    url = cluster.gateways[0]?.url ?? ''
    document = (await (await fetch(`${url}/openapi.json`)).json()) as Document
    schemas = document.components.schemas
    operations = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => ({ ...operation, method: method.toUpperCase(), path })),
    )
    await createPolls()
    cookie = (await createVoter(url, 'cats-or-dogs')).cookie
  })
  after(() => cluster[Symbol.asyncDispose]())

  test('says where the server is, who may do what, and gives each operation a name of its own', () => {
    assert.deepEqual(
      document.servers?.map((server) => new URL(server.url, `${url}/openapi.json`).href),
      [`${url}/`],
    )
    const names = operations.map(({ operationId }) => operationId ?? '')
    assert.ok(
      names.every((name) => /^[a-z]+[A-Za-z]*$/.test(name)),
      names.join(' '),
    )
    assert.equal(new Set(names).size, operations.length)
    for (const { operationId, security } of operations) {
      assert.ok(security !== undefined, `${operationId} says who may do it`)
      for (const scheme of security.flatMap((accepted) => Object.keys(accepted))) {
        assert.ok(scheme in document.components.securitySchemes, scheme)
      }
    }
  })

  test('its patterns are regular expressions, without slashes and flags around them', () => {
    const patterns = [...JSON.stringify(document).matchAll(/"pattern":("(?:[^"\\]|\\.)*")/g)].map(([, text = '""']) =>
      String(JSON.parse(text)),
    )
    assert.ok(patterns.length > 10)
    for (const pattern of patterns) {
      assert.doesNotThrow(() => new RegExp(pattern, 'u'), pattern)
      assert.doesNotMatch(pattern, /^\/|\/[a-z]*$/)
    }
  })

  test('its examples fit their schemas', () => {
    const examples = Object.entries(schemas).flatMap(([name, schema]) =>
      schema.example === undefined ? [] : [[name, schema] as const],
    )
    assert.ok(examples.length > 3)
    for (const [name, schema] of examples) assert.deepEqual(misfits(schema.example, schema, schemas), [], name)
  })

  test('what it says of a body is what the server takes', async () => {
    for (const body of [{}, 7, 'open', true, null, [], { state: 'ajar' }, { question: ' ' }, { surprise: 1 }]) {
      assert.notDeepEqual(misfits(body, schemas['PollEdit'] ?? {}, schemas), [], JSON.stringify(body))
      assert.equal((await cluster.admin('PATCH', '/api/polls/cats-or-dogs', body)).status, 400)
    }
  })

  test('a method that it does not name is answered with 405 and those that it does, also TRACE', async () => {
    for (const [path, item] of Object.entries(document.paths)) {
      const named = Object.keys(item).map((method) => method.toUpperCase())
      const allowed = named.includes('GET') ? [...named, 'HEAD'] : named
      for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'OPTIONS', 'PROPFIND'].filter(
        (each) => !allowed.includes(each),
      )) {
        const { status, headers } = await ask(method, path.replace('{poll}', 'cats-or-dogs'))
        assert.equal(status, 405, `${method} ${path}`)
        assert.deepEqual(headers.allow?.split(', ').toSorted(), allowed.toSorted(), `${method} ${path}`)
      }
    }
    for (const [method, path, status] of [
      ['TRACE', '/', 405],
      ['POST', '/docs', 405],
      ['TRACE', '/live', 405],
      ['TRACE', '/nothing', 404],
    ] as const) {
      assert.equal((await ask(method, path)).status, status, `${method} ${path}`)
    }
  })

  test('whatever is sent, the answer is one that it names; what it calls right is not refused as wrong, nor what it calls wrong taken', async () => {
    const counts = new Map<string, number>()
    await fc.assert(
      fc.asyncProperty(requests(operations, schemas), async (sent) => {
        const { operation, target, headers, body } = sent
        const answer = await ask(operation.method, target, { cookie, ...headers }, body)
        const what = `${operation.method} ${target} ${JSON.stringify(headers)} ${body ?? ''} → ${answer.status} ${answer.text.slice(0, 300)}`
        counts.set(
          `${operation.operationId} ${answer.status}`,
          (counts.get(`${operation.operationId} ${answer.status}`) ?? 0) + 1,
        )
        const named = operation.responses[String(answer.status)]
        assert.ok(named !== undefined, what)
        const type = answer.headers['content-type']?.split(';', 1)[0]
        const content = type === undefined ? undefined : named.content?.[type]
        assert.equal(content === undefined, named.content === undefined, what)
        if (content !== undefined && type?.endsWith('json')) {
          assert.deepEqual(misfits(JSON.parse(answer.text), content.schema, schemas), [], what)
        }
        if (sent.isRight) assert.notEqual(answer.status, 400, what)
        else assert.ok(answer.status >= 400, what)
        if (CHANGES.has(operation.operationId ?? '') && answer.status < 300) await createPolls()
      }),
      fuzz(600),
    )
    const seen = [...counts].map(([outcome, times]) => `${outcome}: ${times}`)
    for (const { operationId } of operations)
      assert.ok(
        seen.some((line) => line.startsWith(`${operationId} 20`)),
        seen.join(', '),
      )
  })

  /** Creates them anew, if they are there. */
  async function createPolls() {
    for (const poll of [POLL, { ...POLL, poll: 'by-ticket', policy: 'ticket' }]) {
      await ask('DELETE', `/api/polls/${poll.poll}`, ADMIN)
      assert.equal((await cluster.admin('POST', '/api/polls', poll)).status, 201)
    }
  }

  function ask(method: string, target: string, headers: Readonly<Record<string, string>> = {}, body?: string) {
    return new Promise<{ status: number; headers: IncomingHttpHeaders; text: string }>((resolve, reject) => {
      const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
      const sent = request(url + target, { method, headers: { ...headers, ...length } }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
      })
      sent.on('error', reject).end(body)
    })
  }
})

/** Operations after which a poll is not what it was. */
const CHANGES = new Set(['editPoll', 'removePoll'])
const SLUGS = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('cats-or-dogs', 'by-ticket', 'nowhere') },
  fc.constantFrom('0', '%C3%97', 'No%20Such', 'a'.repeat(65), 'a--b', '-', '%00'),
)
const ADMIN = { authorization: `Bearer ${ADMIN_TOKEN}` }
const AUTHORIZATIONS = fc.oneof(
  { weight: 6, arbitrary: fc.constant<{ authorization?: string }>(ADMIN) },
  fc.constantFrom<{ authorization?: string }>(
    {},
    ...['Bearer ', 'Bearer', 'Bearer wrong', 'Basic YTpi', '?'].map((authorization) => ({ authorization })),
  ),
)
const TICKETS = fc.oneof(
  { weight: 5, arbitrary: fc.constant({}) },
  fc.constantFrom(
    ...['', 'x', 'x'.repeat(200), 'x'.repeat(201), 'x'.repeat(2_000)].map((ticket) => ({ 'livetally-ticket': ticket })),
  ),
)
const TIMES = fc.constantFrom(null, '2030-01-01T00:00:00Z', '2030-01-01T00:00:00.5+14:00', '0001-01-01T00:00:00Z', 'tomorrow')
const NAMES = fc.constantFrom(
  'cats',
  'dogs',
  'a',
  'ß',
  ' a',
  '',
  '\u0007',
  'a\u00ADb',
  '日本',
  'x'.repeat(64),
  'x'.repeat(65),
  '😀'.repeat(40),
)
const LABELS = fc.constantFrom('Cats', '', ' ', 'x'.repeat(200), 'x'.repeat(201), '\u0000', '😀'.repeat(200))
const OPTIONS = fc.uniqueArray(
  fc.record({ id: NAMES, label: LABELS, color: fc.constantFrom('#00ff00', '#ABCDEF', 'red') }, { requiredKeys: ['id', 'label'] }),
  { selector: ({ id }) => id, maxLength: 4 },
)
const NEW_SLUGS = fc.stringMatching(/^new-[a-z]{8}$/)
const FIELDS = {
  poll: fc.oneof(NEW_SLUGS, fc.constantFrom('cats-or-dogs', 'New One', '', 'x'.repeat(65))),
  question: LABELS,
  options: fc.oneof(fc.constant(POLL.options), OPTIONS),
  option: fc.oneof(fc.constantFrom('cats', 'dogs'), NAMES),
  order: fc.constantFrom(1, 2, 0, -1, 1.5, 2 ** 53),
  count: fc.constantFrom(1, 3, 0, 100_001, 2.5),
  state: fc.constantFrom('open', 'closed', 'ajar'),
  opensAt: TIMES,
  closesAt: TIMES,
  changeAllowed: fc.boolean(),
  visibility: fc.constantFrom('live', 'after-vote', 'after-close', 'never'),
  policy: fc.constantFrom('cookie', 'ticket', 'none'),
  source: fc.record({ table: LABELS, optionColumn: LABELS }),
}

interface Sent {
  readonly operation: Listed
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  /** Whether the description calls everything in it right. */
  readonly isRight: boolean
}

/** Requests to all operations, half right and half wrong. */
function requests(operations: readonly Listed[], schemas: Document['components']['schemas']): fc.Arbitrary<Sent> {
  return fc.constantFrom(...operations).chain((operation) => {
    const { $ref = '' } = operation.requestBody?.content['application/json']?.schema ?? {}
    const schema = schemas[$ref.split('/').at(-1) ?? '']
    const bodies = schema === undefined ? fc.constant(undefined) : bodiesOf(schema)
    return fc
      .record({
        slug: SLUGS,
        authorization: AUTHORIZATIONS,
        ticket: TICKETS,
        step: fc.constantFrom('', '?step=1s', '?step=1h', '?step=2s'),
        body: bodies,
      })
      .map(({ slug, authorization, ticket, step, body }) => {
        const given: Readonly<Record<string, string | undefined>> = {
          poll: decodeURIComponent(slug),
          step: step.split('=')[1],
          ...ticket,
        }
        const takes = (name: string) => operation.parameters?.some((parameter) => parameter.name === name) === true
        const isGuarded = operation.security?.some((accepted) => 'adminToken' in accepted) === true
        const areParametersRight = (operation.parameters ?? []).every(({ name, schema: rule }) => {
          const value = given[name]
          return value === undefined || misfits(value, rule, schemas).length === 0
        })
        return {
          operation,
          target: operation.path.replace('{poll}', slug) + (takes('step') ? step : ''),
          headers: {
            ...(isGuarded ? authorization : {}),
            ...(takes('livetally-ticket') ? ticket : {}),
            ...(schema === undefined ? {} : { 'content-type': 'application/json' }),
          },
          body: body === undefined ? undefined : JSON.stringify(body),
          isRight:
            areParametersRight &&
            (!isGuarded || authorization === ADMIN) &&
            (schema === undefined || misfits(body, schema, schemas).length === 0),
        }
      })
  })
}

/** Bodies with some of the schema's fields, right and wrong, its example with one field changed, and what is no object at all. */
function bodiesOf({ properties = {}, required = [], example }: Schema): fc.Arbitrary<unknown> {
  const fields = Object.fromEntries(Object.entries(FIELDS).filter(([name]) => name in properties))
  assert.equal(Object.keys(fields).length, Object.keys(properties).length, 'there are values for every field')
  const withOneOther = fc
    .constantFrom(...Object.entries(fields))
    .chain(([name, values]) => fc.record({ ...('poll' in fields ? { poll: NEW_SLUGS } : {}), [name]: values }))
    .map((others) => Object.assign({}, example, others))
  return fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record(fields, { requiredKeys: required.filter((name): name is keyof typeof FIELDS => name in fields) }),
    },
    { weight: 4, arbitrary: withOneOther },
    fc.constantFrom(null, 7, true, 'text', [], {}, { surprise: 1 }),
  )
}
