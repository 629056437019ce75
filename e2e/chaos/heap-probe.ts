/** Preloaded into the services of a chaos run: on SIGUSR2 it collects garbage and logs what is left on the heap. */
const { gc } = globalThis as { gc?: () => void }

process.on('SIGUSR2', () => {
  gc?.()
  process.stdout.write(`${JSON.stringify({ msg: 'heap', at: Date.now(), heapBytes: process.memoryUsage().heapUsed })}\n`)
})
