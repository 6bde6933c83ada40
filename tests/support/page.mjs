// Official clients inside a page of a real browser: opened from a site over HTTPS, watched like those of `client.mjs`.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { createRequire } from 'node:module';
import path from 'node:path';

import { until } from './wait.mjs';

const BUNDLE = readFileSync(path.join(path.dirname(createRequire(import.meta.url).resolve('socket.io-client/package.json')), 'dist/socket.io.min.js'));
const PAGE = '<!doctype html><title>page</title><script src="/socket.io.min.js"></script><script>clients = {};</script>';

/** A site over HTTPS: { origin, close }. */
export async function startSite({ certificate, key }) {
  const server = https.createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
    const [type, body] = request.url === '/socket.io.min.js' ? ['text/javascript', BUNDLE] : ['text/html', PAGE];
    response.writeHead(200, { 'content-type': type }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { origin: `https://localhost:${server.address().port}`, close: () => server.close() };
}

/** A client in a page that `startSite` serves. */
export class PageClient {
  rooms = new Set();
  seen = [];
  connects = [];

  constructor(page, name) {
    Object.assign(this, { page, name });
  }

  static async connect(page, name, url, options = {}) {
    const client = new PageClient(page, name);
    await page.evaluate(`void (() => {
      const socket = io(${JSON.stringify(url)}, {
        forceNew: true, withCredentials: true, reconnectionDelay: 20, reconnectionDelayMax: 250, ...${JSON.stringify(options)},
      });
      const told = { socket, connects: [], seen: [], errors: [] };
      clients[${JSON.stringify(name)}] = told;
      socket.on('connect', () => told.connects.push({ recovered: socket.recovered, id: socket.id }));
      socket.on('connect_error', (error) => told.errors.push(error.message));
      socket.on('m', (message) => told.seen.push(message.id));
    })()`);
    await until(`${name} is connected`, async () => (await client.look()).connects.length > 0, { every: 50 });
    return client;
  }

  /** Reads what the page has seen so far. */
  async look() {
    const told = await this.page.evaluate(`(() => {
      const { socket, connects, seen, errors } = clients[${JSON.stringify(this.name)}];
      return { connects, seen, errors, transport: socket.io.engine.transport.name, sid: socket.io.engine.id };
    })()`);
    return Object.assign(this, told);
  }

  ask(event, ...args) {
    return this.page.evaluate(`new Promise((resolve) => clients[${JSON.stringify(this.name)}].socket.emit(
      ${[event, ...args].map((value) => JSON.stringify(value)).join(', ')}, (...answer) => resolve(answer)))`);
  }

  async join(room) {
    await this.ask('join', room);
    this.rooms.add(room);
  }

  async close() {
    await this.page.evaluate(`void clients[${JSON.stringify(this.name)}].socket.close()`);
  }
}
