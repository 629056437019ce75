/** The part of an OpenAPI 3.1 document that the page shows; it ignores the rest. */
export interface OpenApi {
  readonly paths?: Readonly<Record<string, Readonly<Record<string, OperationObject>>>>
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> }
}

interface OperationObject {
  readonly summary?: string
  readonly description?: string
  readonly security?: readonly Readonly<Record<string, unknown>>[]
  readonly parameters?: readonly ParameterObject[]
  readonly requestBody?: { readonly content?: Content }
  readonly responses?: Readonly<Record<string, { readonly description?: string; readonly content?: Content }>>
}

interface ParameterObject {
  readonly name: string
  readonly in: string
  readonly required?: boolean
  readonly schema?: Schema
}

type Content = Readonly<Record<string, { readonly schema?: Schema }>>

export interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly format?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly allOf?: readonly Schema[]
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | Schema
  readonly example?: unknown
}

export interface Operation {
  readonly method: string
  readonly path: string
  readonly summary: string
  readonly description: string
  /** The admin token is asked for. */
  readonly isGuarded: boolean
  readonly parameters: readonly {
    readonly name: string
    readonly place: string
    readonly isRequired: boolean
    readonly type: string
  }[]
  readonly body: Shape | undefined
  readonly responses: readonly { readonly status: string; readonly description: string; readonly content: Shape | undefined }[]
}

/** What a body looks like: its media type, its type as TypeScript would write it, and an example. */
export interface Shape {
  readonly mediaType: string
  readonly type: string
  readonly example: string | undefined
}

const METHODS = ['get', 'put', 'post', 'patch', 'delete'] as const
const DEEPEST = 8

/** The operations of the document, in its order. */
export function operationsOf(document: OpenApi): readonly Operation[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    METHODS.flatMap((method) => (item[method] ? [operationOf(document, method, path, item[method])] : [])),
  )
}

function operationOf(document: OpenApi, method: string, path: string, operation: OperationObject): Operation {
  return {
    method: method.toUpperCase(),
    path,
    summary: operation.summary ?? '',
    description: operation.description ?? '',
    isGuarded: (operation.security ?? []).some((accepted) => 'adminToken' in accepted),
    parameters: (operation.parameters ?? []).map((parameter) => ({
      name: parameter.name,
      place: parameter.in,
      isRequired: parameter.required === true,
      type: typeOf(document, parameter.schema ?? {}),
    })),
    body: shapeOf(document, operation.requestBody?.content),
    responses: Object.entries(operation.responses ?? {}).map(([status, response]) => ({
      status,
      description: response.description ?? '',
      content: shapeOf(document, response.content),
    })),
  }
}

function shapeOf(document: OpenApi, content: Content | undefined): Shape | undefined {
  const [entry] = Object.entries(content ?? {})
  if (!entry) return undefined
  const [mediaType, { schema = {} }] = entry
  const { example } = resolved(document, schema)
  return {
    mediaType,
    type: typeOf(document, schema),
    example: example === undefined ? undefined : JSON.stringify(example, undefined, 2),
  }
}

/** The schema as TypeScript would write it. A reference that goes round in circles ends in its name. */
export function typeOf(document: OpenApi, given: Schema, depth = 0): string {
  if (depth > DEEPEST) return given.$ref?.split('/').at(-1) ?? '…'
  const schema = resolved(document, given)
  const inner = (each: Schema) => typeOf(document, each, depth + 1)
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ')
  const choices = schema.anyOf ?? schema.oneOf
  if (choices) return choices.map(inner).join(' | ')
  if (schema.allOf) return schema.allOf.map(inner).join(' & ')
  const types = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? ['unknown'])
  const texts = types.map((type) => {
    if (type === 'array') return arrayOf(inner(schema.items ?? {}))
    if (type === 'object') return objectOf(schema, inner)
    return schema.format && type === 'string' ? `${type} /* ${schema.format} */` : type
  })
  return texts.join(' | ')
}

const arrayOf = (item: string) => (/ [|&] /.test(item) && !item.startsWith('{') ? `(${item})[]` : `${item}[]`)

function objectOf({ properties, required = [], additionalProperties }: Schema, inner: (schema: Schema) => string): string {
  const fields = Object.entries(properties ?? {}).map(
    ([name, schema]) => `${JSON.stringify(name).slice(1, -1)}${required.includes(name) ? '' : '?'}: ${inner(schema)}`,
  )
  if (typeof additionalProperties === 'object') fields.push(`[name: string]: ${inner(additionalProperties)}`)
  return fields.length === 0 ? '{}' : `{\n${fields.join('\n').replaceAll(/^/gm, '  ')}\n}`
}

function resolved(document: OpenApi, schema: Schema): Schema {
  const name = schema.$ref?.split('/').at(-1)
  return name === undefined ? schema : (document.components?.schemas?.[name] ?? {})
}
