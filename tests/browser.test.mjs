// Pages in a real browser: which may connect with the official client's bundle, on both transports, and with whose cookies.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { Chromium } from './support/chromium.mjs';
import { atEnd } from './support/cleanup.mjs';
import { startSingle } from './support/cluster.mjs';
import { metric } from './support/doors.mjs';
import { Key } from './support/tokens.mjs';

const BUNDLE = readFileSync(path.join(path.dirname(createRequire(import.meta.url).resolve('socket.io-client/package.json')), 'dist/socket.io.min.js'));
const SECRET = 'planted-secret-0123456789-abcdefghij';
const LOGIN = Key.secret(SECRET).token({ sub: 'alice' });

/** A site with one page, which has the official client's bundle: its origin. Another port is another origin. */
async function site() {
  const server = http.createServer((request, response) => {
    const [type, body] = request.url === '/socket.io.min.js'
      ? ['text/javascript', BUNDLE]
      : ['text/html', '<!doctype html><title>page</title><script src="/socket.io.min.js"></script>'];
    response.writeHead(200, { 'content-type': type }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(() => server.close());
  return `http://127.0.0.1:${server.address().port}`;
}

let allowed;
let foreign;
let node;
before(async () => {
  const browser = await Chromium.start();
  atEnd(() => browser.close());
  const origins = { allowed: await site(), foreign: await site() };
  node = await startSingle({
    env: {
      WEBSOCKET_CORS_ALLOWED_ORIGINS: origins.allowed,
      WEBSOCKET_CORS_CREDENTIALS: 'true',
      WEBSOCKET_AUTH_JWT_SECRET: SECRET,
      WEBSOCKET_AUTH_COOKIE: 'login',
    },
  });
  atEnd(() => node.kill());
  allowed = await browser.open(`${origins.allowed}/`);
  foreign = await browser.open(`${origins.foreign}/`);
  // Cookies know no ports: the browser shows the login to every service of the host, whoever's page asks.
  await allowed.evaluate(`document.cookie = 'login=${LOGIN}; path=/; SameSite=Lax'`);
});

/** Connects from the page; what comes of it: { echo, transport, error }. */
const attempt = (page, transport, more = {}) => page.evaluate(`new Promise((resolve) => {
  const socket = io(${JSON.stringify(node.url)}, {
    forceNew: true, reconnection: false, transports: [${JSON.stringify(transport)}], withCredentials: true, ...${JSON.stringify(more)},
  });
  const end = (outcome) => { resolve(outcome); socket.close(); };
  socket.on('connect', () => socket.emit('echo', 'ünïcödé', (echo) => end({ echo, transport: socket.io.engine.transport.name })));
  socket.on('connect_error', (error) => end({ error: error.message }));
})`);

for (const transport of ['websocket', 'polling']) {
  describe(`over ${transport}`, () => {
    test("an allowed origin's page connects with the login's cookie and is echoed", async () => {
      assert.deepEqual(await attempt(allowed, transport), { echo: 'ünïcödé', transport });
    });

    test('a foreign page does not, though the browser shows the cookie for it; the refusal is counted', async () => {
      const blocked = () => metric(node, 'websocket_security_events_total', { type: 'blocked_origin' });
      const before = await blocked();
      const { error, echo } = await attempt(foreign, transport);
      assert.deepEqual([error, echo], [transport === 'websocket' ? 'websocket error' : 'xhr poll error', undefined]);
      assert.equal((await blocked()) - before, 1);
    });
  });
}

test("the page finds the CSRF cookie of its login and shows it as a header, which the preflight lets through", async () => {
  await attempt(allowed, 'polling');
  const token = await allowed.evaluate(`document.cookie.match(/csrf_token=([^;]+)/)?.[1] ?? null`);
  assert.ok(token, 'no csrf_token is set for the page');
  const shown = await attempt(allowed, 'polling', { extraHeaders: { 'X-CSRFToken': token } });
  assert.deepEqual(shown, { echo: 'ünïcödé', transport: 'polling' });
  assert.deepEqual(await foreign.evaluate(`document.cookie.includes('csrf_token')`), true, 'a page of the same host reads it, too');
  const { error } = await attempt(foreign, 'polling', { extraHeaders: { 'X-CSRFToken': token } });
  assert.equal(error, 'xhr poll error', 'and yet does not come in: its origin is not allowed');
});
