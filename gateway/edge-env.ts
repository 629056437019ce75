/** What the handlers of the edge share through Hono's context. */
import type { HttpBindings } from '@hono/node-server'

export type EdgeEnv = { Bindings: HttpBindings; Variables: { requestId: string } }
