/**
 * Livetally in one process. The database is begun before anything else is loaded: its thread takes about as long to start as the
 * rest of the program to load, and runs on another core.
 */
import { startCluster } from '../../backend/pglite/cluster.ts'
import { loadStandaloneConfig } from './config.ts'

const config = loadStandaloneConfig(process)
const starting = startCluster({ dataDir: config.dataDir, holder: `Livetally, process ${process.pid}` })
// what went wrong is said once there is a log
starting.catch(() => {})
const { runStandalone } = await import('./standalone.ts')
process.exit(await runStandalone({ host: process, config, starting }))
