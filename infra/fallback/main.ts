/** Answers in the gateways' place while Traefik has none: whatever is asked, a problem that says to try again. */
import { createServer } from 'node:http'
import { problem, PROBLEM_CONTENT_TYPE } from '../../shared/protocol/problem.ts'

const BODY = JSON.stringify(problem(503, 'unavailable', 'No gateway can be reached. Try again in a moment.'))

const server = createServer((request, response) => {
  request.resume()
  response.writeHead(503, { 'content-type': PROBLEM_CONTENT_TYPE, 'retry-after': '1', 'cache-control': 'no-store' }).end(BODY)
})
server.listen(Number(process.env['PORT'] ?? 8080))
process.once('SIGTERM', () => process.exit(0))
