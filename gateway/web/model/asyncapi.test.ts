import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parse } from 'yaml'
import { z } from 'zod'
import { AliveFrame, DrainFrame, Frame, GoneFrame, PollFrame, SUBPROTOCOLS, TallyFrame } from '../../../shared/protocol/frames.ts'

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }
interface Document {
  readonly channels: {
    readonly tallies: { readonly address: string; readonly messages: object; readonly bindings: { ws: Json } }
  }
  readonly operations: { readonly follow: { readonly messages: readonly { $ref: string }[] } }
  readonly components: {
    readonly messages: Readonly<Record<string, { payload: { $ref: string }; examples: { payload: object }[] }>>
    readonly schemas: Readonly<Record<string, Json>>
  }
}

const text = readFileSync(new URL('../pages/asyncapi.yaml', import.meta.url), 'utf8')
const whole = parse(text) as Json
// the parts this test reads; were one missing, the assertions below would fail
const document = whole as unknown as Document
const FRAMES = { PollFrame, TallyFrame, AliveFrame, GoneFrame, DrainFrame }

function at(ref: string): Json {
  const found = ref
    .slice('#/'.length)
    .split('/')
    .reduce<Json | undefined>((place, key) => (place as Record<string, Json> | undefined)?.[key], whole)
  assert.ok(found !== undefined, `${ref} leads somewhere`)
  return found
}

/** References replaced by what they mean, words for people left out. */
function meaningOf(json: Json): Json {
  if (Array.isArray(json)) return json.map(meaningOf)
  if (typeof json !== 'object' || json === null) return json
  const fields = json as Readonly<Record<string, Json>>
  if (typeof fields['$ref'] === 'string') return meaningOf(at(fields['$ref']))
  const isTime = fields['format'] === 'date-time'
  // the format says it; the pattern that the library adds to it spells out leap years
  const spoken = new Set(isTime ? ['description', '$schema', 'pattern'] : ['description', '$schema'])
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([key, value]) => !spoken.has(key) || typeof value === 'object')
      .map(([key, value]) => [key, meaningOf(value)]),
  )
}

test('every frame is in the document as the wire has it', () => {
  for (const [name, schema] of Object.entries(FRAMES)) {
    // as input: fields that a client does not know are allowed
    const wire = z.toJSONSchema(schema, { io: 'input' }) as Json
    assert.deepEqual(meaningOf(document.components.schemas[name] ?? null), meaningOf(wire), name)
  }
})

test('the messages are those of the wire, no more and no fewer', () => {
  const types = Frame.options.map((option) => option.shape.type.value)
  assert.deepEqual(Object.keys(document.components.messages).toSorted(), types.toSorted())
  assert.deepEqual(Object.keys(document.channels.tallies.messages).toSorted(), types.toSorted())
  assert.deepEqual(
    document.operations.follow.messages.map(({ $ref }) => $ref),
    types.map((type) => `#/channels/tallies/messages/${type}`),
  )
})

test('every example is a frame of its kind', () => {
  for (const [type, { payload, examples }] of Object.entries(document.components.messages)) {
    assert.ok(examples.length > 0, type)
    assert.ok(at(payload.$ref))
    for (const example of examples) assert.equal(Frame.parse(example.payload).type, type)
  }
})

test('every reference leads somewhere, and the address and the subprotocols are the real ones', () => {
  for (const [, ref = ''] of text.matchAll(/\$ref: '(.+)'/g)) assert.ok(at(ref))
  assert.equal(document.channels.tallies.address, '/ws')
  assert.ok(JSON.stringify(document.channels.tallies.bindings.ws).includes(`"enum":${JSON.stringify(SUBPROTOCOLS)}`))
})
