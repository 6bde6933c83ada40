// What tests of the doors need: requests with any header from any loopback address, bytes by hand, metrics, the log.

import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';

import { Client } from './client.mjs';
import { Socket } from './raw.mjs';
import { until, within } from './wait.mjs';

/** The request that opens a polling session. */
export const OPENING = '/socket.io/?EIO=4&transport=polling';
/** Options of a node whose log is read by these tests: every line, as JSON. */
export const TELLING = ['--log-format', 'json', '--log-level', 'debug'];

/**
 * One request on a connection of its own: { status, headers, text, json, upgraded }.
 * `from`: the loopback address it comes from; `headers` may name Host, Origin and Cookie.
 */
export function ask(url, path = OPENING, { method = 'GET', headers = {}, body, from } = {}) {
  const answered = new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const request = http.request({ hostname, port, path, method, headers, agent: false, localAddress: from });
    request.on('error', reject);
    request.on('upgrade', (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode, headers: response.headers, text: '', json: null, upgraded: true });
    });
    request.on('response', async (response) => {
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) text += chunk;
      resolve({ status: response.statusCode, headers: response.headers, text, json: parsed(text), upgraded: false });
    });
    request.end(body);
  });
  return within(`the answer to ${method} ${path}`, answered, 30_000);
}

/** A WebSocket handshake, given up as soon as it is answered: the same answer as `ask`. */
export const askUpgrade = (url, { headers = {}, from, query = '' } = {}) =>
  ask(url, `/socket.io/?EIO=4&transport=websocket${query}`, {
    from,
    headers: {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
      ...headers,
    },
  });

/** A TCP connection by hand: `text` is all that came, `ended` resolves with it when the other side has closed. */
export class Wire {
  text = '';
  over = false;

  static async open(url, { from } = {}) {
    const wire = new Wire();
    const { hostname, port } = new URL(url);
    wire.socket = net.connect({ host: hostname, port: Number(port), localAddress: from });
    wire.socket.setEncoding('latin1').on('data', (chunk) => {
      wire.text += chunk;
    });
    // A reset is an end like any other: what matters is that the connection is over.
    wire.socket.on('error', () => {});
    wire.closed = new Promise((resolve) => {
      wire.socket.on('close', () => {
        wire.over = true;
        resolve(wire.text);
      });
    });
    await once(wire.socket, 'connect');
    return wire;
  }

  send(bytes) {
    this.socket.write(bytes);
    return this;
  }

  ended(limit = 30_000) {
    return within('the other side to close the connection', this.closed, limit);
  }

  /** Waits for bytes that match. */
  saw(pattern) {
    return until(
      () => `${pattern} came (what came: ${this.text.slice(0, 200)})`,
      () => pattern.test(this.text),
      { every: 5 },
    );
  }
}

/** A bare GET, as bytes. */
export const get = (path = OPENING, ...lines) =>
  `GET ${path} HTTP/1.1\r\n${['Host: localhost', ...lines].join('\r\n')}\r\n\r\n`;

/** Sends bytes on a connection of its own; resolves with the status of the first answer, `null` when there is none. */
export async function statusOf(url, bytes, options) {
  const wire = await Wire.open(url, options);
  wire.send(bytes);
  await until('an answer, or the end', () => wire.over || /^HTTP\/1\.1 \d{3}/.test(wire.text), { every: 5 });
  wire.socket.destroy();
  return Number(wire.text.slice(9, 12)) || null;
}

/** A sample of the public metrics; one that is not there is an error. */
export async function metric(node, name, labels = {}, headers = {}) {
  const { status, text } = await ask(node.url, '/websocket/metrics', { headers });
  if (status !== 200) throw new Error(`the metrics were answered ${status}`);
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  for (const line of text.split('\n')) {
    const [, family, of = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (family === name && wanted.every((label) => of.split(',').includes(label))) return Number(value);
  }
  throw new Error(`there is no metric ${name}{${wanted}}`);
}

/** Does something and resolves with how much each sample ([name, labels]) grew by it. */
export async function growth(node, samples, work, headers) {
  const read = async () => {
    const values = [];
    for (const [name, labels] of samples) values.push(await metric(node, name, labels, headers));
    return values;
  };
  const before = await read();
  await work();
  const after = await read();
  return after.map((value, index) => value - before[index]);
}

/** The node's JSON log lines, what is in `metadata` beside the rest; lines that are none are left out. */
export const logLines = (node) =>
  node
    .output()
    .split('\n')
    .map(parsed)
    .filter((line) => line !== null)
    .map(({ metadata, ...line }) => ({ ...metadata, ...line }));

/** Its lines about security. */
export const securityLines = (node) => logLines(node).filter(({ category }) => category === 'security');

/** The Origin of a page that no node of these tests allows. */
export const FOREIGN = 'https://evil.example';

/** Lines about pages that were refused. */
export const originRefusals = (node) => securityLines(node).filter(({ event_type: type }) => type === 'blocked_origin');

/** The address that a node takes a request's client for: that of the line in its log which says that it was refused. */
export async function clientSeen(node, headers, { from = '127.0.0.1', asking = ask } = {}) {
  const before = originRefusals(node).length;
  const options = { headers: { Origin: FOREIGN, ...headers }, from };
  const { status } = await (asking === ask ? ask(node.url, OPENING, options) : asking(node.url, options));
  if (status !== 403) throw new Error(`a foreign page was answered ${status}`);
  await until('the refusal is in the log', () => originRefusals(node).length > before, { every: 2 });
  return originRefusals(node).at(-1).client_ip;
}

/** Resolves with the error that an official client is refused with. */
export async function refusal(url, options = {}, namespace = '') {
  const client = new Client('a client that is refused', url + namespace, { reconnection: false, ...options });
  await until(
    () => `the client is refused (it connected ${client.connects.length} times)`,
    () => client.errors.length > 0 || client.connects.length > 0,
  );
  const [error] = client.errors;
  client.close();
  if (!error) throw new Error('the client connected, and should have been refused');
  return error;
}

/** The close code and reason of a WebSocket, once it is closed. */
export async function farewell(socket) {
  const [code, reason] = await within('the server to close the WebSocket', once(socket.ws, 'close'), 30_000);
  return { code, reason: String(reason) };
}

/** Opens a WebSocket session with headers of its own, its Socket.IO CONNECT done. */
export async function openSocket(url, { headers, from, auth } = {}) {
  const socket = new Socket(url, {}, { headers, localAddress: from });
  await socket.take((packet) => packet.startsWith?.('0'), 'the handshake');
  socket.send(`40${auth ? JSON.stringify(auth) : ''}`);
  await socket.take((packet) => packet.startsWith?.('40'), 'the CONNECT');
  socket.session = JSON.parse(socket.taken.slice(2));
  return socket;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
