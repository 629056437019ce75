/**
 * Runs Livetally in one process. Starts the database before it loads the rest of the program, since the database's thread starts on
 * another core meanwhile (docs/adr/0013).
 */
import { startCluster } from '../../backend/pglite/cluster.ts'
import { loadStandaloneConfig } from './config.ts'

const config = loadStandaloneConfig(process)
const starting = startCluster({ dataDir: config.dataDir, holder: `Livetally, process ${process.pid}` })
// without a handler a rejection would end the process here; `runStandalone` awaits the promise and logs the error
starting.catch(() => {})
const { runStandalone } = await import('./standalone.ts')
process.exit(await runStandalone({ host: process, config, starting }))
