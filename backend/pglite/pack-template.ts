/** `npm ci` runs this, so that the first `npm start` need not wait for initdb. */
import { packCluster } from './open.ts'
import { ensureTemplate } from './template.ts'

await ensureTemplate(packCluster)
