/** Whether a request says for which host it is. */
import type { IncomingMessage } from 'node:http'

type HostRequest = Pick<IncomingMessage, 'headers' | 'rawHeaders' | 'httpVersion'>

/** Whether a handshake has one `Host` header with a value, as it must have (RFC 6455 §4.2.1, RFC 9112 §3.2). */
export function namesHost(request: HostRequest): boolean {
  return Boolean(request.headers.host) && !namesHostsTwice(request)
}

/** Whether a request has one `Host` header, as it must have; HTTP/1.0 needs none (RFC 9112 §3.2). */
export function hasOneHost(request: HostRequest): boolean {
  return (request.headers.host !== undefined || request.httpVersion === '1.0') && !namesHostsTwice(request)
}

/** Of a field that is given twice, `headers` has the first. A handshake that was read without HTTP has none twice, and no raw headers. */
function namesHostsTwice({ rawHeaders }: HostRequest): boolean {
  let hosts = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? ''
    if (name.length === 4 && name.toLowerCase() === 'host') hosts += 1
  }
  return hosts > 1
}
