// HTTPS only: HSTS on secure answers and on no other, plain requests refused or redirected, TLS that ends at a real NGINX.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { Authority } from './support/certificates.mjs';
import { Client, closeClients, connect } from './support/client.mjs';
import { freePort, startSingle } from './support/cluster.mjs';
import { Nginx } from './support/nginx.mjs';
import { ask, curl, POLLING_PATH, startSecure, UPGRADE, WEBSOCKET_PATH } from './support/tls.mjs';
import { until } from './support/wait.mjs';

const authority = new Authority();
const server = authority.issue('server');
const ca = authority.pem;
const HSTS = 'strict-transport-security';
const EXEMPT = ['/websocket/health', '/websocket/health/ready', '/websocket/health/live', '/balancer', '/websocket/metrics'];

atEnd(closeClients);

/** One of each kind of answer: [what is asked, its status over HTTPS]. */
const ANSWERS = [
  [{ path: '/' }, 200],
  [{ path: '/websocket/health' }, 200],
  [{ path: '/websocket/metrics' }, 200],
  [{ path: POLLING_PATH }, 200],
  [{ path: POLLING_PATH, method: 'OPTIONS' }, 204],
  [{ path: '/nowhere' }, 404],
  [{ path: '/websocket/health', method: 'POST' }, 405],
  [{ path: '/socket.io/' }, 400],
  [{ path: `${POLLING_PATH}&sid=nobody` }, 400],
  [{ path: `${POLLING_PATH}&sid=nobody`, method: 'POST', body: '40' }, 400],
  [{ path: POLLING_PATH, headers: { origin: 'https://foreign.example' } }, 403],
  [{ path: WEBSOCKET_PATH, headers: { ...UPGRADE, origin: 'https://foreign.example' } }, 403],
  [{ path: '/', headers: { host: 'foreign.example' } }, 421],
  [{ path: WEBSOCKET_PATH, headers: UPGRADE }, 101],
];

describe('HTTPS is forced, nothing is redirected', () => {
  let node;
  before(async () => {
    node = await startSecure(server, {
      WEBSOCKET_FORCE_HTTPS: 'true',
      WEBSOCKET_ALLOWED_HOSTS: 'localhost,127.0.0.1',
      WEBSOCKET_HEALTH_CHECK_PATH: '/balancer',
      WEBSOCKET_HSTS_ENABLED: 'true',
      WEBSOCKET_HSTS_MAX_AGE: '63072000',
      WEBSOCKET_HSTS_INCLUDE_SUBDOMAINS: 'true',
    });
    atEnd(() => node.kill());
  });

  test('every secure answer has the header of HSTS: 200, 204, 400, 403, 404, 405, 421 and 101', async () => {
    for (const [{ path, ...init }, status] of ANSWERS) {
      const answer = await ask(`${node.secureUrl}${path}`, { ca, ...init });
      const what = `${init.method ?? 'GET'} ${path}`;
      assert.equal(answer.status, status, `${what}: ${answer.text}`);
      assert.equal(answer.headers[HSTS], 'max-age=63072000; includeSubDomains', what);
    }
    const { head } = await curl(authority, '--http2', `${node.secureUrl}/nowhere`);
    assert.match(head, /^HTTP\/2 404 /);
    assert.match(head, /^strict-transport-security: max-age=63072000; includeSubDomains\r?$/m);
  });

  test('no plain answer has it', async () => {
    for (const [{ path, ...init }] of [...ANSWERS, ...EXEMPT.map((exempt) => [{ path: exempt }])]) {
      const { headers } = await ask(`${node.url}${path}`, init);
      assert.equal(headers[HSTS], undefined, path);
    }
  });

  test('a plain request of any kind is answered 403 https_required, and told nothing else', async () => {
    for (const [path, init] of [
      ['/', {}], ['/x?y=1', {}], ['/', { method: 'HEAD' }], ['/nowhere', { method: 'DELETE' }],
      ['/socket.io/', {}], [POLLING_PATH, {}], [POLLING_PATH, { method: 'POST', body: '40' }],
    ]) {
      const { status, headers, json } = await ask(`${node.url}${path}`, init);
      assert.equal(status, 403, path);
      assert.equal(headers.location, undefined);
      assert.match(headers['content-type'], /^application\/json/);
      if (init.method !== 'HEAD') assert.equal(json.error, 'https_required');
    }
  });

  test('a plain WebSocket is refused, never opened, whatever it says about a proxy', async () => {
    for (const more of [{}, { 'x-forwarded-proto': 'https' }, { forwarded: 'proto=https' }]) {
      const { status, json } = await ask(`${node.url}${WEBSOCKET_PATH}`, { headers: { ...UPGRADE, ...more } });
      assert.equal(status, 403);
      assert.equal(json.error, 'https_required');
    }
  });

  test('health and metrics are exempt', async () => {
    for (const path of EXEMPT) assert.equal((await ask(`${node.url}${path}`)).status, 200, path);
  });

  test('what merely begins like an exempt path is not', async () => {
    for (const path of ['/balancer2', '/websocket/healthy', '/websocket/metrics.json', '//websocket/health']) {
      assert.equal((await ask(`${node.url}${path}`)).status, 403, path);
    }
  });

  test('an official client is refused over plain HTTP and connected over TLS', async () => {
    for (const transport of ['websocket', 'polling']) {
      const refused = new Client(`plain ${transport}`, node.url, { transports: [transport], reconnection: false });
      await until('the client is refused', () => refused.errors.length > 0);
      assert.equal(refused.connects.length, 0);
      const secure = await connect(`secure ${transport}`, node.secureUrl, { transports: [transport], ca });
      assert.deepEqual(await secure.ask('echo', transport), [transport]);
    }
  });
});

describe('plain requests are redirected to the node\'s own TLS listener', () => {
  let node;
  before(async () => {
    node = await startSecure(server, {
      WEBSOCKET_FORCE_HTTPS: 'true',
      WEBSOCKET_HTTPS_REDIRECT: 'true',
      WEBSOCKET_ALLOWED_HOSTS: 'localhost,127.0.0.1',
    });
    atEnd(() => node.kill());
  });

  test('to the host that was asked for, and the port of the TLS listener, also when the system chose it', async () => {
    for (const host of ['localhost', '127.0.0.1']) {
      const { status, headers } = await ask(`${node.url}/x?y=1`, { headers: { host } });
      assert.equal(status, 308);
      assert.equal(headers.location, `https://${host}:${node.securePort}/x?y=1`);
    }
    const followed = await curl(authority, '--location', `${node.url}/`);
    assert.deepEqual([followed.status, followed.redirects], [200, 1], followed.stderr);
  });

  test('HSTS is off: no answer has its header', async () => {
    for (const [{ path, ...init }] of ANSWERS) {
      assert.equal((await ask(`${node.secureUrl}${path}`, { ca, ...init })).headers[HSTS], undefined, path);
    }
  });
});

describe('TLS ends at NGINX, a trusted proxy; plain requests are redirected to the public URL', () => {
  let node;
  let nginx;
  let publicUrl;
  before(async () => {
    const port = await freePort();
    publicUrl = `https://localhost:${port}`;
    node = await startSingle({
      env: {
        WEBSOCKET_FORCE_HTTPS: 'true',
        WEBSOCKET_HTTPS_REDIRECT: 'true',
        WEBSOCKET_PUBLIC_URL: publicUrl,
        WEBSOCKET_TRUST_PROXY_HEADERS: 'true',
        // NGINX, and not the clients that come from 127.0.0.1 past it.
        WEBSOCKET_TRUSTED_PROXIES: '127.0.0.9',
        WEBSOCKET_HEALTH_CHECK_PATH: '/balancer',
        WEBSOCKET_HSTS_ENABLED: 'true',
      },
    });
    atEnd(() => node.kill());
    nginx = await Nginx.start([node.url], {
      tls: { port, ...server },
      location: `proxy_bind 127.0.0.9; proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Host $http_host;`,
    });
    atEnd(() => nginx.stop());
  });

  test('308 to the public URL with path and query, nothing in the body, for GET and HEAD only', async () => {
    for (const method of ['GET', 'HEAD']) {
      const { status, headers, text } = await ask(`${node.url}/x?y=1&z=%20`, { method });
      assert.equal(status, 308);
      assert.equal(headers.location, `${publicUrl}/x?y=1&z=%20`);
      assert.equal(text, '');
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const { status, headers } = await ask(`${node.url}/x`, { method });
      assert.equal(status, 403, method);
      assert.equal(headers.location, undefined);
    }
  });

  test('a plain WebSocket is refused with 403, since browsers follow no redirect of one', async () => {
    const { status, headers, json } = await ask(`${node.url}${WEBSOCKET_PATH}`, { headers: UPGRADE });
    assert.equal(status, 403);
    assert.equal(json.error, 'https_required');
    assert.equal(headers.location, undefined);
  });

  test('a path cannot lead to another host', async () => {
    for (const path of ['//foreign.example/x', '/@foreign.example', '/\\foreign.example']) {
      const { status, headers } = await ask(`${node.url}${path}`);
      if (status === 308) assert.equal(new URL(headers.location).origin, publicUrl, headers.location);
      else assert.ok(status >= 400 && status < 500, `${path}: ${status}`);
    }
  });

  test('a foreign Host is refused and not reflected', async () => {
    const names = ['foreign.example', 'foreign.example:443', 'localhost.foreign.example', 'localhost@foreign.example'];
    for (const host of names) {
      const { status, headers, text } = await ask(`${node.url}/x`, { headers: { host } });
      assert.ok([400, 421].includes(status), `${host}: ${status}`);
      assert.doesNotMatch(JSON.stringify(headers) + text, /foreign/);
    }
    const { status, headers, text } = await ask(`${node.url}/x`, { headers: { 'x-forwarded-host': 'foreign.example' } });
    assert.equal(status, 308);
    assert.doesNotMatch(JSON.stringify(headers) + text, /foreign/);
  });

  test('the headers of a peer that is no trusted proxy are not believed', async () => {
    for (const [name, value] of [['x-forwarded-proto', 'https'], ['forwarded', 'for=1.2.3.4;proto=https'], ['x-forwarded-ssl', 'on']]) {
      const { status, headers: answered } = await ask(`${node.url}/`, { headers: { [name]: value } });
      assert.equal(status, 308);
      assert.equal(answered[HSTS], undefined);
    }
  });

  test('health and metrics are exempt, under any Host', async () => {
    for (const path of EXEMPT) {
      const { status, headers } = await ask(`${node.url}${path}`, { headers: { host: '10.1.2.3:5000' } });
      assert.equal(status, 200, path);
      assert.equal(headers[HSTS], undefined);
    }
  });

  test('through NGINX there is no redirect over HTTPS, and one from its plain port', async () => {
    for (const [url, redirects] of [[nginx.secureUrl, 0], [nginx.url, 1]]) {
      for (const path of ['/', POLLING_PATH]) {
        const answer = await curl(authority, '--location', '--max-redirs', '3', `${url}${path}`);
        assert.deepEqual([answer.status, answer.redirects], [200, redirects], `${url}${path} ${answer.stderr}`);
      }
    }
  });

  test('answers that left NGINX over HTTPS have the header of HSTS, those over its plain port have not', async () => {
    for (const path of ['/', '/nowhere', '/socket.io/', POLLING_PATH]) {
      const secure = await ask(`${nginx.secureUrl}${path}`, { ca });
      assert.equal(secure.headers[HSTS], 'max-age=31536000', path);
      const plain = await ask(`${nginx.url}${path}`);
      assert.equal(plain.headers[HSTS], undefined, path);
    }
  });

  test('official clients through NGINX: polling, WebSocket and the upgrade', async () => {
    for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
      const client = await connect(transports.join(), nginx.secureUrl, { transports, ca });
      await until('the last transport is in use', () => client.socket.io.engine.transport.name === transports.at(-1));
      assert.deepEqual(await client.ask('echo', transports), [transports]);
      assert.equal(client.errors.length, 0);
    }
  });
});
