/** The least a vote over HTTP can cost here: Hono, the same path, the same body parsed and checked, an answer of the same size. */
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { z } from 'zod'

const Body = z.object({ option: z.string() })
const app = new Hono()
app.put('/api/polls/:poll/vote', async (c) => {
  const { option } = Body.parse(await c.req.json())
  return c.json({ poll: c.req.param('poll'), option })
})
serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => process.send?.(port))
