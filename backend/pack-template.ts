/** `npm ci` runs this, so that the first `npm start` need not wait for initdb. */
import { packCluster } from './db.ts'
import { ensureTemplate } from './pglite-template.ts'

await ensureTemplate(packCluster)
