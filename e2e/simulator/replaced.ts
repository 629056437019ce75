/**
 * What the simulator puts in the place of parts of the product, module by module: whatever leaves the process, and what only people and
 * machines outside read. Everything else runs as it is, from the `runGateway` and `runBackend` of the services on.
 */
import { registerHooks } from 'node:module'

const here = new URL('.', import.meta.url).href
const root = new URL('../../', import.meta.url).href

/** By the product's module, or the package: the module that takes its place. */
const REPLACED: Readonly<Record<string, string>> = {
  undici: 'http.ts',
  '@hono/node-server': 'http.ts',
  'gateway/http/app.ts': 'gateway-app.ts',
  'backend/http/app.ts': 'backend-app.ts',
  'gateway/http/static-pages.ts': 'stubs.ts',
  'gateway/http/client-errors.ts': 'stubs.ts',
  'gateway/handshake/listener.ts': 'http.ts',
  'shared/lifecycle/http-server.ts': 'http.ts',
  'shared/lifecycle/loop-delay.ts': 'stubs.ts',
  'shared/telemetry/log.ts': 'stubs.ts',
  'shared/telemetry/metrics.ts': 'stubs.ts',
  'shared/bus/redis-connection.ts': 'redis.ts',
  'backend/database/postgres.ts': 'postgres.ts',
}

/** Has to be called before any module of the product is imported. */
export function replaceModules(): void {
  registerHooks({
    resolve(specifier, context, nextResolve) {
      const isOurs = context.parentURL?.startsWith(here)
      const own = REPLACED[specifier]
      if (own !== undefined && !isOurs) return { url: here + own, shortCircuit: true }
      const resolved = nextResolve(specifier, context)
      const other = REPLACED[resolved.url.slice(root.length)]
      return other === undefined || isOurs || !resolved.url.startsWith(root) ? resolved : { ...resolved, url: here + other }
    },
  })
}
