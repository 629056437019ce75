import assert from 'node:assert/strict'
import { test } from 'node:test'
import { operationsOf, typeOf, type OpenApi, type Schema } from './openapi.ts'

const DOCUMENT: OpenApi = {
  paths: {
    '/api/polls/{poll}/vote': {
      put: {
        summary: 'Cast',
        security: [{ voterCookie: [] }],
        parameters: [{ name: 'poll', in: 'path', required: true, schema: { type: 'string' } }],
        requestBody: { content: { 'application/json': { schema: { $ref: '#/components/schemas/Vote' } } } },
        responses: { 200: { description: 'It stands.' }, 404: { description: 'No such poll.' } },
      },
    },
    '/api/gateways': { get: { security: [{ adminToken: [] }] } },
  },
  components: {
    schemas: {
      Vote: { type: 'object', properties: { option: { type: 'string' } }, required: ['option'], example: { option: 'cats' } },
      Loop: { type: 'object', properties: { next: { $ref: '#/components/schemas/Loop' } } },
    },
  },
}
const type = (schema: Schema) => typeOf(DOCUMENT, schema)

test('operations carry what a caller needs to know', () => {
  const [vote, gateways] = operationsOf(DOCUMENT)
  assert.equal(vote?.method, 'PUT')
  assert.equal(vote.isGuarded, false)
  assert.deepEqual(vote.parameters, [{ name: 'poll', place: 'path', isRequired: true, type: 'string' }])
  assert.deepEqual(vote.body, {
    mediaType: 'application/json',
    type: '{\n  option: string\n}',
    example: '{\n  "option": "cats"\n}',
  })
  assert.deepEqual(
    vote.responses.map(({ status, description }) => [status, description]),
    [
      ['200', 'It stands.'],
      ['404', 'No such poll.'],
    ],
  )
  assert.equal(gateways?.isGuarded, true)
})

test('schemas read as types', () => {
  assert.equal(type({ enum: ['a', 'b'] }), '"a" | "b"')
  assert.equal(type({ type: ['string', 'null'], format: 'date-time' }), 'string /* date-time */ | null')
  assert.equal(type({ type: 'array', items: { anyOf: [{ type: 'string' }, { type: 'null' }] } }), '(string | null)[]')
  assert.equal(
    type({ type: 'object', properties: { a: { type: 'object', properties: { b: { const: 1 } } } }, required: ['a'] }),
    '{\n  a: {\n    b?: 1\n  }\n}',
  )
  assert.equal(type({ type: 'object', additionalProperties: { type: 'integer' } }), '{\n  [name: string]: integer\n}')
  assert.equal(type({}), 'unknown')
})

test('a schema that holds itself ends', () => {
  assert.match(type({ $ref: '#/components/schemas/Loop' }), /next\?: Loop\n/)
})

test('a document with nothing in it has no operations', () => {
  assert.deepEqual(operationsOf({}), [])
})
