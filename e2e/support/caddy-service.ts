import { type ProxyOptions, replace, startProxy, type TlsProxy } from './proxy.ts'

/** Starts Caddy with `infra/caddy/Caddyfile`, but with the certificate of the test. */
export async function startCaddy({ gateways, certificate }: ProxyOptions): Promise<TlsProxy> {
  return await startProxy({
    program: 'caddy',
    shipped: 'infra/caddy/Caddyfile',
    adapt: (shipped, { port, plainPort, directory }) => `
{
	admin off
	skip_install_trust
	storage file_system ${directory}
	http_port ${plainPort}
	https_port ${port}
}
${replace(shipped, [
  ['{$LIVETALLY_HOST} {', `localhost {\n\tbind 127.0.0.1\n\ttls ${certificate.certificateFile} ${certificate.keyFile}`],
  ['{$LIVETALLY_GATEWAYS}', gateways.map((gateway) => `127.0.0.1:${gateway}`).join(' ')],
])}`,
    args: (file) => ['run', '--adapter', 'caddyfile', '--config', file],
    homeVariable: 'XDG_CONFIG_HOME',
    readyLine: /serving initial configuration/,
  })
}
