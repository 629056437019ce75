/** Asks the service in this container whether Docker should keep it: exit code 0 when `/health` answers 200, 1 otherwise. */
import { get } from 'node:http'

const TIMEOUT_MS = 12_000

const request = get({ host: '127.0.0.1', port: process.env['PORT'] ?? 8080, path: '/health', timeout: TIMEOUT_MS }, (answer) => {
  answer.resume()
  process.exitCode = answer.statusCode === 200 ? 0 : 1
  if (process.exitCode !== 0) console.error(`/health answers ${answer.statusCode}`)
})
request.on('timeout', () => request.destroy(new Error(`/health has not answered in ${TIMEOUT_MS} ms`)))
request.on('error', (error) => {
  console.error(error.message)
  process.exitCode = 1
})
