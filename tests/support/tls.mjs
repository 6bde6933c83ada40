// A node's TLS listener, and what looks at it from outside: `openssl s_client`, `curl`, Node's own TLS.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import tls from 'node:tls';

import { startSingle } from './cluster.mjs';
import { InVain, until, within } from './wait.mjs';

/** Runs a program to its end, `input` on its standard input: { code, stdout, stderr, text (both) }. */
export async function command(program, args, { input = '', env, limit = 30_000 } = {}) {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  const answer = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) {
    child[stream].setEncoding('utf8').on('data', (chunk) => { answer[stream] += chunk; });
  }
  // A program that ends before it has read everything is judged by what it says, not by a broken pipe.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  try {
    [answer.code] = await within(`${program} ${args.join(' ')}`, once(child, 'close'), limit);
  } finally {
    child.kill('SIGKILL');
  }
  return { ...answer, text: answer.stdout + answer.stderr };
}

/** A node alone with TLS on a port of the system's choice: `secureUrl`, `securePort`. */
export async function startSecure({ certificate, key }, env = {}, options = []) {
  const node = await startSingle({
    options,
    env: {
      WEBSOCKET_SSL_CERT_FILE: certificate, WEBSOCKET_SSL_KEY_FILE: key, WEBSOCKET_TLS_PORT: '0', ...env,
    },
  });
  // The start block is written once the node is ready.
  [, node.secureUrl] = await until('the start block names the TLS listener', () => {
    if (!node.alive) throw new InVain(node.tail());
    return node.output().match(/over TLS\s+(https:\/\/\S+)/);
  });
  node.securePort = Number(new URL(node.secureUrl).port);
  return node;
}

const REQUEST = 'GET /websocket/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';

/**
 * `openssl s_client`, which asks for the liveness page once the handshake is done; `verified` by the authority's root;
 * `status` of the answer (null: none came).
 */
export async function sClient(node, authority, ...options) {
  const { text: whole, code } = await command('openssl', [
    's_client', '-connect', `127.0.0.1:${node.securePort}`, '-servername', 'localhost', '-CAfile', authority.root,
    '-ign_eof', ...options,
  ], { input: REQUEST });
  // Tickets in hexadecimal, among which the answer may begin.
  const text = whole.replace(/^ +[0-9a-f]{4} - .*?(HTTP.*)?\n/gm, '$1');
  return {
    text,
    code,
    verified: text.includes('Verify return code: 0 (ok)'),
    status: Number(whole.match(/HTTP\/1\.1 (\d+)/)?.[1] ?? NaN) || null,
    cipher: text.match(/^New, TLSv1\.\d, Cipher is (?!\(NONE\))(\S+)/m)?.[1] ?? null,
    alpn: text.match(/^ALPN protocol: (\S+)/m)?.[1] ?? null,
  };
}

/** `curl` that trusts the authority: { status, version, head, body (of the first answer), redirects, code, stderr }. */
export async function curl(authority, ...args) {
  const { stdout, stderr, code } = await command('curl', [
    '--silent', '--show-error', '--cacert', authority.root, '--max-time', '20', '--include',
    '--write-out', '\n%{http_version} %{http_code} %{num_redirects}', ...args,
  ]);
  const shape = /^([^]*?)(?:\r\n\r\n|$)([^]*)\n(\S+) (\d+) (\d+)$/;
  const [, head, body, version, status, redirects] = stdout.match(shape) ?? [];
  return { code, stderr, head, body, version, status: Number(status), redirects: Number(redirects) };
}

/** The serial number that a new handshake is shown, in capital hexadecimal digits. */
export async function shownSerial(node, authority) {
  const socket = tls.connect({ port: node.securePort, host: '127.0.0.1', servername: 'localhost', ca: authority.pem });
  try {
    await within('a TLS handshake', once(socket, 'secureConnect'), 10_000);
    return socket.getPeerCertificate().serialNumber.padStart(2, '0');
  } finally {
    socket.destroy();
  }
}

/**
 * One request by hand, without anybody's redirects: { status, headers, text, json }; status 101 for an upgrade, whose
 * connection is closed. `host` in the headers is sent as given.
 */
export async function ask(url, { method = 'GET', headers = {}, ca, body } = {}) {
  const { request } = url.startsWith('https:') ? https : http;
  const sent = request(url, { method, headers, ca, servername: 'localhost', agent: false });
  const answered = Promise.race(['response', 'upgrade'].map(async (event) => (await once(sent, event))[0]));
  sent.end(body);
  const response = await within(`an answer to ${method} ${url}`, answered, 20_000);
  if (response.statusCode === 101) {
    sent.destroy();
    response.socket.destroy();
    return { status: 101, headers: response.headers, text: '', json: null };
  }
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk;
  let json = null;
  try {
    json = JSON.parse(text);
  } catch {
    // Not every answer is JSON.
  }
  return { status: response.statusCode, headers: response.headers, text, json };
}

/** The headers of a WebSocket handshake over HTTP/1.1. */
export const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'AAECAwQFBgcICQoLDA0ODw==',
};
export const WEBSOCKET_PATH = '/socket.io/?EIO=4&transport=websocket';
export const POLLING_PATH = '/socket.io/?EIO=4&transport=polling';
