/** The backend's process. Holds signals before it loads the rest of the program, which takes a moment. */
import { holdSignals } from '../shared/lifecycle/signals.ts'

holdSignals(process)
const { runBackend } = await import('./service.ts')
process.exit(await runBackend(process))
