/** The description of the API (OpenAPI 3.1), which `/openapi.json` serves. */
import type { Env } from 'hono'
import type { OpenAPIHono } from '@hono/zod-openapi'

/** What may be asked of the sender of a request; the routes name those that they take. */
const SECURITY_SCHEMES = {
  adminToken: { type: 'http', scheme: 'bearer', description: 'The admin token of this installation.' },
  voterCookie: {
    type: 'apiKey',
    in: 'cookie',
    name: '__Host-voter',
    description: 'Set by the server, readable by no script. Over plain HTTP its name is `voter`.',
  },
  ticket: {
    type: 'apiKey',
    in: 'header',
    name: 'Livetally-Ticket',
    description: 'A one-time ticket, in place of the cookie, for polls that take tickets.',
  },
} as const

/** Describes the routes that the app has by now. */
export function describeApi<E extends Env>(app: OpenAPIHono<E>): object {
  for (const [name, scheme] of Object.entries(SECURITY_SCHEMES)) {
    app.openAPIRegistry.registerComponent('securitySchemes', name, scheme)
  }
  const document = app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Livetally',
      version: '1',
      description: 'Votes in over HTTP. Tallies come out over the WebSocket at /ws.',
      license: { name: 'MIT', url: 'https://spdx.org/licenses/MIT.html' },
    },
    // relative to the address of the document, which a server behind a proxy does not know
    servers: [{ url: '/', description: 'The server that this document comes from.' }],
  })
  return JSON.parse(JSON.stringify(document), (key, value: unknown) =>
    key === 'pattern' && typeof value === 'string' ? sourceOf(value) : value,
  ) as object
}

/** The source of a regular expression. The generator leaves a slash and the flags behind it, which JSON Schema does not know. */
function sourceOf(pattern: string): string {
  return pattern.replace(/(?<!\\)\/[a-z]+$/, '')
}
