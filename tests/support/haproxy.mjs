// A real HAProxy in front of a node, as a TCP balancer that tells by the PROXY protocol who the client is.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';

import { freePort, temporaryDirectory } from './cluster.mjs';
import { InVain, until, within } from './wait.mjs';

const config = (port, target, options) => `
global
  maxconn 256
defaults
  mode tcp
  timeout connect 5s
  timeout client 120s
  timeout server 120s
frontend door
  bind 127.0.0.1:${port}
  default_backend nodes
backend nodes
  server node ${new URL(target).host} ${options}
`;

export class HaProxy {
  #child;
  #gone;
  output = '';

  /** `options` of its one server, such as `send-proxy-v2`. */
  static async start(target, options) {
    const haproxy = new HaProxy();
    const port = await freePort();
    haproxy.url = `http://127.0.0.1:${port}`;
    const file = path.join(temporaryDirectory(), 'haproxy.cfg');
    writeFileSync(file, config(port, target, options));
    haproxy.#child = spawn('haproxy', ['-db', '-f', file], {
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const child = haproxy.#child;
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        haproxy.output += chunk;
      });
    child.once('error', (error) => {
      haproxy.output += error.message;
    });
    haproxy.#gone = new Promise((resolve) => child.once('close', resolve));
    process.once('exit', () => child.kill('SIGKILL'));
    await until(
      () => `the node answers through HAProxy: ${haproxy.output}`,
      async () => {
        if (child.exitCode !== null) throw new InVain(`HAProxy ended: ${haproxy.output}`);
        return (await fetch(`${haproxy.url}/websocket/health/live`)).ok;
      },
    );
    return haproxy;
  }

  /** Resolves once HAProxy has said this. */
  says(pattern) {
    return until(
      () => `HAProxy says ${pattern} (it said: ${this.output})`,
      () => pattern.test(this.output),
    );
  }

  async stop() {
    this.#child.kill('SIGTERM');
    await within('the end of HAProxy', this.#gone, 10_000).catch(() => this.#child.kill('SIGKILL'));
  }
}
