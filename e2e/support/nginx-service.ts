import { type ProxyOptions, replace, startProxy, type TlsProxy } from './proxy.ts'

/** Starts nginx with `infra/nginx/livetally.conf`. */
export async function startNginx({ gateways, certificate }: ProxyOptions): Promise<TlsProxy> {
  return await startProxy({
    program: 'nginx',
    shipped: 'infra/nginx/livetally.conf',
    adapt: (shipped, { port, plainPort, directory }) => {
      const servers = gateways.map((gateway) => `server 127.0.0.1:${gateway} max_fails=1 fail_timeout=2s;\n`).join('')
      const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((use) => `${use}_temp_path ${directory}/${use};`)
      const site = replace(shipped, [
        [/(?: *server 192\.0\.2\.\d+:8080 .*\n)+/g, servers],
        ['listen 80;', `listen 127.0.0.1:${plainPort};`],
        ['listen 443 ', `listen 127.0.0.1:${port} `],
        ['vote.example.org', 'localhost'],
        ['/etc/nginx/tls/fullchain.pem', certificate.certificateFile],
        ['/etc/nginx/tls/privkey.pem', certificate.keyFile],
      ])
      return `
        ${process.getuid?.() === 0 ? 'user root root;' : ''}
        daemon off;
        worker_processes 1;
        pid ${directory}/pid;
        error_log stderr notice;
        events { worker_connections 512; }
        http {
          access_log off;
          ${temporary.join('\n')}
          ${site}
        }`
    },
    args: (file) => ['-e', 'stderr', '-c', file],
    readyLine: /start worker process /,
  })
}
