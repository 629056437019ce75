/** Judges values by the part of JSON Schema that the description of the API uses. */

export interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly enum?: readonly unknown[]
  readonly pattern?: string
  readonly format?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly minProperties?: number
  readonly uniqueItems?: boolean
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | Schema
  readonly default?: unknown
  readonly description?: string
  readonly example?: unknown
}

/** All that is known here: another keyword would be passed over in silence. */
const KEYWORDS = new Set([
  '$ref',
  'type',
  'enum',
  'pattern',
  'format',
  'minLength',
  'maxLength',
  'minimum',
  'maximum',
  'minItems',
  'maxItems',

  'minProperties',
  'uniqueItems',
  'items',
  'properties',
  'required',
  'additionalProperties',
  'default',
  'description',
  'example',
])

/** What of the value does not fit the schema, a line each; references are looked up by their last name in `named`. */
export function misfits(value: unknown, schema: Schema, named: Readonly<Record<string, Schema>>, at = '$'): string[] {
  if (schema.$ref !== undefined) {
    const found = named[schema.$ref.split('/').at(-1) ?? '']
    return found === undefined ? [`${at}: nothing is called ${schema.$ref}`] : misfits(value, found, named, at)
  }
  const unknown = Object.keys(schema).filter((keyword) => !KEYWORDS.has(keyword))
  if (unknown.length > 0) throw new Error(`${at}: misfits() does not know ${unknown.join(', ')}`)
  const types = schema.type === undefined ? [] : [schema.type].flat()
  if (types.length > 0 && !types.some((type) => isOf(value, type))) return [`${at}: not ${types.join(' or ')}`]
  const wrong: string[] = []
  const want = (holds: boolean, what: string) => void (holds || wrong.push(`${at}: ${what}`))
  want(schema.enum === undefined || schema.enum.includes(value), `none of ${JSON.stringify(schema.enum)}`)
  if (typeof value === 'string') {
    const length = Array.from(value).length
    want(length >= (schema.minLength ?? 0) && length <= (schema.maxLength ?? Infinity), 'its length')
    want(schema.pattern === undefined || new RegExp(schema.pattern, 'u').test(value), `not of the pattern ${schema.pattern}`)
    want(schema.format !== 'date-time' || isDateTime(value), 'not a time')
  } else if (typeof value === 'number') {
    want(value >= (schema.minimum ?? -Infinity) && value <= (schema.maximum ?? Infinity), 'out of range')
  } else if (Array.isArray(value)) {
    want(value.length >= (schema.minItems ?? 0) && value.length <= (schema.maxItems ?? Infinity), 'its number of items')
    const distinct = new Set(value.map((item) => JSON.stringify(item)))
    want(schema.uniqueItems !== true || distinct.size === value.length, 'an item twice')
    wrong.push(...value.flatMap((item, index) => misfits(item, schema.items ?? {}, named, `${at}[${index}]`)))
  } else if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
    want(entries.length >= (schema.minProperties ?? 0), 'its number of properties')
    for (const name of schema.required ?? []) want(Object.hasOwn(value, name), `${name} is missing`)
    for (const [name, field] of entries) {
      const rule = Object.hasOwn(schema.properties ?? {}, name)
        ? schema.properties?.[name]
        : (schema.additionalProperties ?? true)
      if (typeof rule === 'object') wrong.push(...misfits(field, rule, named, `${at}.${name}`))
      else want(rule !== false, `${name} is none of its properties`)
    }
  }
  return wrong
}

function isOf(value: unknown, type: string): boolean {
  if (type === 'null') return value === null
  if (type === 'array') return Array.isArray(value)
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value)
  return typeof value === type
}

/** RFC 3339 §5.6 */
function isDateTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i.test(text) && !Number.isNaN(Date.parse(text))
}
