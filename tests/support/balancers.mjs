// NGINX and HAProxy with the very files of deploy/: addresses, certificates and log files are replaced, nothing else.
//
// `timers` shortens intervals, for tests of time: pairs of a text that must be there and what stands in its place.

import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { freePort, temporaryDirectory } from './cluster.mjs';
import { InVain, until, within } from './wait.mjs';

const DEPLOY = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../deploy');
/** The host under which the shipped files are served. */
export const HOST = 'ws.example.com';

/**
 * All shipped configurations. `sticky`: what keeps a client on its node. `tcp`: bytes are passed on, TLS ends at the nodes.
 * `overTls`: the nodes are spoken to over TLS.
 */
export const CONFIGURATIONS = [
  { program: 'nginx', mode: 'round-robin', sticky: null },
  { program: 'nginx', mode: 'ip-hash', sticky: 'address' },
  { program: 'nginx', mode: 'cookie', sticky: 'cookie' },
  { program: 'nginx', mode: 'tls', sticky: null, overTls: true },
  { program: 'nginx', mode: 'stream', sticky: null, overTls: true, tcp: true },
  { program: 'haproxy', mode: 'cookie', sticky: 'cookie' },
  { program: 'haproxy', mode: 'source', sticky: 'address' },
  { program: 'haproxy', mode: 'h2', sticky: null, overTls: true },
  { program: 'haproxy', mode: 'proxy-v1', sticky: null, overTls: true, tcp: true },
  { program: 'haproxy', mode: 'proxy-v2', sticky: null, overTls: true, tcp: true },
].map((configuration) => ({ tcp: false, overTls: false, ...configuration, name: `${configuration.program} ${configuration.mode}` }));

const running = new Set();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Replaces each text, which must be there. */
export function replaced(text, pairs) {
  for (const [from, to] of pairs) {
    if (!text.includes(from)) throw new Error(`the configuration has no ${JSON.stringify(from)}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** A running balancer: `url` for clients (HTTPS), `plainUrl` where it has one. */
export class Balancer {
  #child;
  #gone;
  output = '';

  /** `identity`: { certificate, key } files of the public host, `root`: the authority's certificate. */
  static async start({ program, mode, tcp, overTls }, cluster, { identity, root, timers = [], text = null }) {
    const balancer = new Balancer();
    const directory = temporaryDirectory();
    const [port, plain] = [await freePort(), await freePort()];
    Object.assign(balancer, { program, mode, directory, port });
    balancer.url = `https://localhost:${port}`;
    balancer.plainUrl = tcp ? null : `http://127.0.0.1:${plain}`;
    const shipped = text ?? readFileSync(path.join(DEPLOY, program, `${mode}.${program === 'nginx' ? 'conf' : 'cfg'}`), 'utf8');
    const nodes = cluster.nodes.map((node, index) => [
      `app${index + 1}.example.com:${overTls ? 5443 : 5000}`,
      `127.0.0.1:${overTls ? node.tlsPort : new URL(node.url).port}`,
    ]);
    const authority = overTls && !(program === 'nginx' && tcp) ? [['/etc/ssl/certs/vedfolnir-ca.pem', root]] : [];
    const parts = { balancer, directory, port, plain, identity, tcp };
    const own = program === 'nginx' ? ofNginx(parts) : ofHaproxy(parts);
    const config = own.whole(replaced(shipped, [...nodes, ...authority, ...own.pairs, ...timers]));
    const file = path.join(directory, program === 'nginx' ? 'nginx.conf' : 'haproxy.cfg');
    writeFileSync(file, config);
    balancer.#spawn(program, own.arguments(file));
    await until(
      () => `${program} ${mode} answers: ${balancer.output}${balancer.log()}`,
      async () => {
        if (balancer.#child.exitCode !== null) throw new InVain(`${program} ended: ${balancer.output}\n${config}`);
        return (await balancer.health('/live')) === 200;
      },
      { every: 50 },
    );
    return balancer;
  }

  #spawn(program, args) {
    const child = spawn(program, args, {
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        this.output += chunk;
      });
    }
    child.once('error', (error) => {
      this.output += error.message;
    });
    this.#gone = new Promise((resolve) => child.once('close', resolve));
    running.add(child);
    child.once('close', () => running.delete(child));
  }

  /** The access log so far: a line names the node that answered. */
  log() {
    if (this.program === 'haproxy') return this.output;
    try {
      return readFileSync(path.join(this.directory, 'access.log'), 'utf8');
    } catch {
      return '';
    }
  }

  /** The status of the health page through the balancer. */
  async health(below = '') {
    const { status } = await fetchOver(this.url, `/websocket/health${below}`);
    return status;
  }

  /** Judges the configuration as the program does, without running it: its exit code and what it says. */
  static async judge(program, config) {
    const directory = temporaryDirectory();
    const file = path.join(directory, 'config');
    writeFileSync(file, config);
    const balancer = new Balancer();
    balancer.#spawn(program, program === 'nginx' ? ['-t', '-c', file, '-p', directory, '-e', path.join(directory, 'e')] : ['-c', '-f', file]);
    const code = await within(`${program} judges`, balancer.#gone, 30_000);
    return { code, output: balancer.output };
  }

  async stop() {
    this.#child.kill(this.program === 'nginx' ? 'SIGTERM' : 'SIGUSR1');
    await within(`the end of ${this.program}`, this.#gone, 2_000).catch(() => this.#child.kill('SIGKILL'));
  }
}

/** One request to a balancer, whose certificate is not what is tested: { status, headers, text }. */
export function fetchOver(url, target, { headers = {}, method = 'GET', from, body } = {}) {
  const answered = new Promise((resolve, reject) => {
    const request = https.request(`${url}${target}`, {
      method, headers, agent: false, rejectUnauthorized: false, localAddress: from, lookup: loopback,
    });
    request.on('error', reject);
    request.on('upgrade', (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode, headers: response.headers, text: '' });
    });
    request.on('response', async (response) => {
      let text = '';
      try {
        for await (const chunk of response.setEncoding('utf8')) text += chunk;
      } catch (error) {
        reject(error);
      }
      resolve({ status: response.statusCode, headers: response.headers, text });
    });
    request.end(body);
  });
  return within(`the answer to ${method} ${target}`, answered, 30_000);
}

/** `localhost` is IPv4 in these tests. */
const loopback = (_, options, done) => (options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4));

/** What an official client needs to come over a balancer's TLS, from an address of its own. */
export function over({ from = '127.0.0.1', extra = {} } = {}) {
  const agent = new https.Agent({ rejectUnauthorized: false, localAddress: from, lookup: loopback });
  return { agent, rejectUnauthorized: false, localAddress: from, ...extra };
}

function ofNginx({ directory, port, plain, identity, tcp }) {
  const listens = tcp
    ? [['listen 443;', `listen 127.0.0.1:${port};`]]
    : [
        ['listen 80;', `listen 127.0.0.1:${plain};`],
        ['listen 443 ssl http2;', `listen 127.0.0.1:${port} ssl http2;`],
        [`server_name ${HOST};`, `server_name ${HOST} localhost;`],
        [`/etc/ssl/certs/${HOST}.pem`, identity.certificate],
        [`/etc/ssl/private/${HOST}.key`, identity.key],
      ];
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  mkdirSync(path.join(directory, 'client_body'), { recursive: true });
  return {
    pairs: [...listens, ['/var/log/nginx/vedfolnir.log', path.join(directory, 'access.log')]],
    whole: (text) => `
${tcp ? 'load_module /usr/lib/nginx/modules/ngx_stream_module.so;' : ''}
daemon off;
${process.getuid() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${directory}/nginx.pid;
error_log ${directory}/error.log warn;
events { worker_connections 4096; }
${tcp ? text : `http {\n${temporary.map((kind) => `${kind}_temp_path ${directory}/${kind};`).join('\n')}\n${text}\n}`}
`,
    arguments: (file) => ['-c', file, '-p', directory, '-e', path.join(directory, 'error.log')],
  };
}

function ofHaproxy({ directory, port, plain, identity, tcp }) {
  const pem = path.join(directory, 'server.pem');
  writeFileSync(pem, readFileSync(identity.certificate, 'utf8') + readFileSync(identity.key, 'utf8'));
  const binds = tcp
    ? [['bind :443', `bind 127.0.0.1:${port}`]]
    : [
        ['bind :80', `bind 127.0.0.1:${plain}`],
        ['bind :443', `bind 127.0.0.1:${port}`],
        [`/etc/ssl/private/${HOST}.pem`, pem],
      ];
  return {
    pairs: [...binds, ['log /dev/log local0', 'log stdout format raw local0']],
    whole: (text) => text,
    arguments: (file) => ['-db', '-f', file],
  };
}
