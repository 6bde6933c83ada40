// A real NGINX in front of nodes, as plain as can be: round robin, no sticky sessions, no second try of a request.
// On request TLS ends at it as well.

import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { freePort, temporaryDirectory } from './cluster.mjs';
import { until } from './wait.mjs';

const config = (directory, port, urls, tls, location) => `
daemon off;
${process.getuid() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${directory}/nginx.pid;
error_log ${directory}/error.log warn;
events { worker_connections 1024; }
http {
  access_log ${directory}/access.log;
  client_max_body_size 8m;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${directory}/${kind};`).join(' ')}
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  upstream nodes { ${urls.map((url) => `server ${new URL(url).host} max_fails=1 fail_timeout=5s;`).join(' ')} }
  server {
    listen 127.0.0.1:${port};
    ${tls ? `listen 127.0.0.1:${tls.port} ssl; ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key};` : ''}
    location / {
      proxy_pass http://nodes;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_next_upstream off;
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_read_timeout 120s;
      ${location}
    }
  }
}
`;

export class Nginx {
  #child;

  /** `tls`: { port, certificate, key } of a second listener; `location`: directives about what is passed on. */
  static async start(urls, { tls = null, location = '' } = {}) {
    const nginx = new Nginx();
    const directory = temporaryDirectory();
    mkdirSync(path.join(directory, 'client_body'), { recursive: true });
    const port = await freePort();
    nginx.url = `http://127.0.0.1:${port}`;
    if (tls) nginx.secureUrl = `https://localhost:${tls.port}`;
    const file = path.join(directory, 'nginx.conf');
    writeFileSync(file, config(directory, port, urls, tls, location));
    nginx.#child = spawn('nginx', ['-c', file, '-p', directory, '-e', path.join(directory, 'error.log')], {
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    nginx.#child.stderr.on('data', (chunk) => { stderr += chunk; });
    nginx.#child.once('error', (error) => { stderr += error.message; });
    process.once('exit', () => nginx.#child.kill('SIGKILL'));
    await until(() => `nginx answers: ${stderr}${readOr(path.join(directory, 'error.log'))}`, async () => {
      await fetch(`${nginx.url}/websocket/health/live`);
      return true;
    });
    return nginx;
  }

  stop() {
    this.#child.kill('SIGTERM');
  }
}

const readOr = (file) => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
};
