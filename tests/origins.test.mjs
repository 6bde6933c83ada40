// Which web pages may connect (CORS, on both transports alike), and under which names the service answers.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { freePort, startSingle } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { Client, closeClients, connect } from './support/client.mjs';
import { ask, askUpgrade, get, growth, OPENING, securityLines, statusOf, TELLING } from './support/doors.mjs';
import { until } from './support/wait.mjs';

async function start(env, options = []) {
  const node = await startSingle({ options: [...TELLING, ...options], env });
  atEnd(() => node.kill());
  return node;
}
before(() => atEnd(closeClients));

const of = (origin, more = {}) => ({ headers: { Origin: origin, ...more } });
const preflight = (url, origin, headers = 'x-csrftoken') =>
  ask(url, OPENING, {
    method: 'OPTIONS',
    ...of(origin, { 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': headers }),
  });

/** What a foreign page gets on both transports: 403, and nothing that lets it read an answer. */
async function assertRefused(url, origin, more) {
  for (const [transport, asked] of [
    ['polling', ask(url, OPENING, of(origin, more))],
    ['WebSocket', askUpgrade(url, of(origin, more))],
  ]) {
    const { status, headers } = await asked;
    assert.equal(status, 403, `${origin} by ${transport}`);
    assert.equal(headers['access-control-allow-origin'], undefined, `${origin} by ${transport}`);
    assert.equal(headers['access-control-allow-credentials'], undefined, `${origin} by ${transport}`);
  }
}

async function assertAllowed(url, origin, more) {
  const polling = await ask(url, OPENING, of(origin, more));
  assert.equal(polling.status, 200, `${origin} by polling`);
  assert.equal(polling.headers['access-control-allow-origin'], origin);
  assert.equal((await askUpgrade(url, of(origin, more))).status, 101, `${origin} by WebSocket`);
}

describe('a list of origins', () => {
  let node;
  before(async () => {
    node = await start({
      WEBSOCKET_CORS_ALLOWED_ORIGINS: 'https://app.example.com, https://*.apps.example.com, http://localhost:3000',
    });
  });

  test('a listed origin is reflected, with Vary: Origin and credentials', async () => {
    for (const origin of ['https://app.example.com', 'https://APP.example.com:443', 'http://localhost:3000']) {
      const { status, headers } = await ask(node.url, OPENING, of(origin));
      assert.equal(status, 200, origin);
      assert.equal(headers['access-control-allow-origin'], origin);
      assert.equal(headers['access-control-allow-credentials'], 'true');
      assert.match(headers.vary, /\bOrigin\b/);
      assert.equal((await askUpgrade(node.url, of(origin))).status, 101);
    }
  });

  test('a foreign origin gets 403 on polling and on the WebSocket upgrade alike', async () => {
    const foreign = [
      'https://evil.example',
      'http://app.example.com',
      'https://app.example.com:8443',
      'https://app.example.com.evil.example',
      'https://evilapp.example.com',
      'https://app.example.com@evil.example',
      'http://localhost:3001',
      'file://',
      'null',
      'garbage',
    ];
    for (const origin of foreign) await assertRefused(node.url, origin);
  });

  test('two Origin headers are refused, even when both are listed', async () => {
    const line = 'Origin: https://app.example.com';
    assert.equal(await statusOf(node.url, get(OPENING, line)), 200);
    assert.equal(await statusOf(node.url, get(OPENING, line, line)), 403);
  });

  test('a wildcard stands for exactly one label, and for no other scheme or port', async () => {
    await assertAllowed(node.url, 'https://a.apps.example.com');
    for (const origin of [
      'https://apps.example.com',
      'https://a.b.apps.example.com',
      'http://a.apps.example.com',
      'https://a.apps.example.com:8443',
    ]) {
      await assertRefused(node.url, origin);
    }
  });

  test('a refusal says Vary: Origin as well, and so does an answer to no origin: caches must keep them apart', async () => {
    for (const headers of [{}, { Origin: 'https://evil.example' }]) {
      assert.match((await ask(node.url, OPENING, { headers })).headers.vary, /\bOrigin\b/);
    }
  });

  test('programs without an Origin come in, and are told nothing about origins', async () => {
    const { status, headers } = await ask(node.url);
    assert.equal(status, 200);
    assert.equal(headers['access-control-allow-origin'], undefined);
  });

  test('a session that an allowed page opened cannot be read or written by a foreign one that knows its id', async () => {
    const { text } = await ask(node.url, OPENING, of('https://app.example.com'));
    const { sid } = JSON.parse(text.slice(1));
    const path = `${OPENING}&sid=${sid}`;
    const foreign = of('https://evil.example');
    assert.equal((await ask(node.url, path, { method: 'POST', body: '40', ...foreign })).status, 403);
    assert.equal((await ask(node.url, path, foreign)).status, 403);
    assert.equal((await askUpgrade(node.url, { query: `&sid=${sid}`, ...foreign })).status, 403);
    const own = of('https://app.example.com');
    assert.equal((await ask(node.url, path, { method: 'POST', body: '40', ...own })).status, 200);
  });

  test('a preflight of an allowed page: 204 with methods, headers, how long it holds, and credentials', async () => {
    const { status, headers } = await preflight(node.url, 'https://app.example.com', 'authorization, x-csrftoken');
    assert.equal(status, 204);
    assert.equal(headers['access-control-allow-origin'], 'https://app.example.com');
    assert.equal(headers['access-control-allow-credentials'], 'true');
    assert.match(headers['access-control-allow-methods'], /\bGET\b.*\bPOST\b/);
    for (const name of ['authorization', 'content-type', 'x-csrftoken']) {
      assert.ok(headers['access-control-allow-headers'].toLowerCase().split(/,\s*/).includes(name), name);
    }
    assert.ok(Number(headers['access-control-max-age']) > 0);
    assert.match(headers.vary, /\bOrigin\b/);
  });

  test('a preflight of a foreign page hears of nothing that it may do', async () => {
    const { status, headers } = await preflight(node.url, 'https://evil.example');
    assert.equal(status, 204);
    const told = Object.keys(headers).filter((name) => name.startsWith('access-control-'));
    assert.deepEqual(told, []);
  });

  test('an official client that sends a foreign Origin is refused on both transports, one with an allowed Origin is not', async () => {
    for (const transport of ['polling', 'websocket']) {
      const options = { transports: [transport], extraHeaders: { origin: 'https://app.example.com' } };
      const client = await connect(`allowed by ${transport}`, node.url, options);
      client.close();
      const refused = new Client(`foreign by ${transport}`, node.url, {
        ...options,
        extraHeaders: { origin: 'https://evil.example' },
        reconnection: false,
      });
      await until('the foreign client is refused', () => refused.errors.length > 0 || refused.connects.length > 0);
      assert.equal(refused.connects.length, 0);
      refused.close();
    }
  });

  test("a refused origin is in the log with the client's address, and is counted as a blocked connection", async () => {
    const [blocked, events] = await growth(
      node,
      [
        ['websocket_security_blocked_connections_total', { reason: 'blocked_origin' }],
        ['websocket_security_events_total', { type: 'blocked_origin' }],
      ],
      () => assertRefused(node.url, 'https://evil.example'),
    );
    assert.deepEqual([blocked, events], [2, 2]);
    const line = securityLines(node).findLast(({ event_type: type }) => type === 'blocked_origin');
    assert.equal(line?.client_ip, '127.0.0.1');
  });
});

describe('other settings of origins', () => {
  test('* lets every page in, without credentials', async () => {
    const node = await start({ WEBSOCKET_CORS_ALLOWED_ORIGINS: '*' });
    const { status, headers } = await ask(node.url, OPENING, of('https://anyone.example'));
    assert.equal(status, 200);
    assert.equal(headers['access-control-allow-origin'], '*');
    assert.equal(headers['access-control-allow-credentials'], undefined);
    assert.equal((await askUpgrade(node.url, of('https://anyone.example'))).status, 101);
    assert.equal((await preflight(node.url, 'https://anyone.example')).headers['access-control-allow-origin'], '*');
  });

  test("by default the node's own address and its localhost variants are allowed, and nothing else", async () => {
    const node = await start({});
    const { port } = new URL(node.url);
    for (const host of ['127.0.0.1', 'localhost', '[::1]']) await assertAllowed(node.url, `http://${host}:${port}`);
    for (const origin of [
      `https://localhost:${port}`,
      'http://localhost',
      `http://localhost:${port - 1}`,
      `http://192.0.2.1:${port}`,
    ]) {
      await assertRefused(node.url, origin);
    }
  });

  test('a foreign page whose name was pointed at the node (DNS rebinding) is refused, although Host and Origin agree', async () => {
    const node = await start({});
    const { port } = new URL(node.url);
    await assertRefused(node.url, `http://evil.example:${port}`, { Host: `evil.example:${port}` });
  });

  test('FLASK_HOST and FLASK_PORT name the web application whose pages connect', async () => {
    const port = await freePort();
    const node = await start({ FLASK_HOST: 'web.example.com', FLASK_PORT: String(port) });
    for (const host of ['web.example.com', 'localhost', '127.0.0.1']) {
      await assertAllowed(node.url, `http://${host}:${port}`);
      await assertAllowed(node.url, `https://${host}:${port}`);
    }
    await assertAllowed(node.url, `http://localhost:${new URL(node.url).port}`);
    await assertRefused(node.url, 'http://web.example.com');
  });

  test("the public URL's origin is allowed, and pages of an allowed host that the node is asked for are its own", async () => {
    const node = await start({
      WEBSOCKET_PUBLIC_URL: 'https://ws.example.com',
      WEBSOCKET_ALLOWED_HOSTS: 'chat.example.com',
    });
    await assertAllowed(node.url, 'https://ws.example.com', { Host: 'ws.example.com' });
    await assertAllowed(node.url, 'https://chat.example.com', { Host: 'chat.example.com' });
    await assertRefused(node.url, 'https://chat.example.com', { Host: 'ws.example.com' });
  });
});

describe('allowed hosts', () => {
  let node;
  before(async () => {
    node = await start({ WEBSOCKET_ALLOWED_HOSTS: 'ws.example.com,*.apps.example.com,admin.example.com:8443' });
  });
  const status = async (host, asking = ask) =>
    (await asking(node.url, ...(asking === ask ? [OPENING] : []), { headers: { Host: host } })).status;

  test('a listed host is answered under any port, case or wildcard label that the list means', async () => {
    for (const host of ['ws.example.com', 'WS.example.com:5000', 'a.apps.example.com', 'admin.example.com:8443']) {
      assert.equal(await status(host), 200, host);
      assert.equal(await status(host, askUpgrade), 101, host);
    }
  });

  test('a foreign host is answered with 421 on both transports, and elsewhere', async () => {
    const foreign = [
      'evil.example',
      'ws.example.com.evil.example',
      'apps.example.com',
      'a.b.apps.example.com',
      'admin.example.com',
      '127.0.0.1',
    ];
    for (const host of foreign) {
      assert.equal(await status(host), 421, host);
      assert.equal(await status(host, askUpgrade), 421, host);
    }
    assert.equal((await ask(node.url, '/', { headers: { Host: 'evil.example' } })).status, 421);
    assert.equal(
      await statusOf(node.url, `GET http://evil.example${OPENING} HTTP/1.1\r\nHost: ws.example.com\r\n\r\n`),
      421,
    );
  });

  test('a malformed, an absent and a duplicate Host are answered with 400', async () => {
    const request = (...lines) => `GET ${OPENING} HTTP/1.1\r\n${[...lines, ''].join('\r\n')}\r\n`;
    const broken = [
      ['Host: ws.example.com, evil.example'],
      ['Host: user@ws.example.com'],
      ['Host: ws.example.com:x'],
      ['Host: ws.example.com/path'],
      ['Host:'],
      ['Accept: */*'],
      ['Host: ws.example.com', 'Host: ws.example.com'],
      ['Host: ws.example.com', 'Host: evil.example'],
    ];
    for (const lines of broken) assert.equal(await statusOf(node.url, request(...lines)), 400, lines.join(' | '));
    assert.equal(await statusOf(node.url, request('Host: ws.example.com')), 200);
  });

  test('health checks and metrics come by address, and are answered under any name', async () => {
    for (const path of ['/websocket/health', '/websocket/health/ready', '/websocket/metrics']) {
      assert.equal((await ask(node.url, path, { headers: { Host: '192.0.2.7' } })).status, 200, path);
    }
  });

  test('a refused host is in the log, without what the client sent, and is counted', async () => {
    const [blocked] = await growth(
      node,
      [['websocket_security_blocked_connections_total', { reason: 'blocked_host' }]],
      () => ask(node.url, OPENING, { headers: { Host: 'planted-name.example' } }),
      { Host: '127.0.0.1' },
    );
    assert.equal(blocked, 1);
    assert.ok(securityLines(node).some(({ event_type: type }) => type === 'blocked_host'));
    assert.ok(!node.output().includes('planted-name'));
  });
});
