/**
 * Runs Livetally in one process. Holds signals before it loads the rest of the program, which takes a moment. Starts the database
 * before the larger part of that, since the database's thread starts on another core meanwhile (docs/adr/0013).
 */
import { holdSignals } from '../../shared/lifecycle/signals.ts'

holdSignals(process)
const { startCluster } = await import('../../backend/pglite/cluster.ts')
const { loadStandaloneConfig } = await import('./config.ts')

const config = loadStandaloneConfig(process)
const starting = startCluster({ dataDir: config.dataDir, holder: `Livetally, process ${process.pid}` })
// without a handler a rejection would end the process here; `runStandalone` awaits the promise and logs the error
starting.catch(() => {})
const { runStandalone } = await import('./standalone.ts')
process.exit(await runStandalone({ host: process, config, starting }))
