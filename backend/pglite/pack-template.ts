/** Makes the template. `npm ci` runs this, so that the first `npm start` does not wait for initdb. */
import { packCluster } from './open.ts'
import { ensureTemplate } from './template.ts'

await ensureTemplate(packCluster)
