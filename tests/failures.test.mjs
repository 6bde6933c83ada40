// What fails for clients, one at a time: the reasons of websocket_connections_failed_total and the types of
// websocket_errors_total that monitoring.test.mjs does not drive. Each is counted once, and under no other name.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { Authority } from './support/certificates.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Cluster, startSingle } from './support/cluster.mjs';
import { ask, openSocket, OPENING, Wire } from './support/doors.mjs';
import { page, since } from './support/prometheus.mjs';
import { startSecure } from './support/tls.mjs';
import { Key } from './support/tokens.mjs';
import { until } from './support/wait.mjs';

const FAILED = 'websocket_connections_failed_total';
const ERRORS = 'websocket_errors_total';
const key = Key.secret('planted-secret-0123456789-abcdefghij');

before(() => atEnd(closeClients));

/** Does the work; asserts that one of the reason and one of the type were counted, and nothing else (null: none at all). */
async function counts(node, { reason, type }, work) {
  const { samples } = await page(node);
  await work();
  const grown = async (family) => Object.entries(await since(node, family, samples));
  const expected = [
    [FAILED, 'reason', reason],
    [ERRORS, 'type', type],
  ].map(([family, label, value]) => [family, value ? [[`${family}{${label}="${value}"}`, 1]] : []]);
  for (const [family, samplesOf] of expected) {
    await until(`${family} tells of it`, async () => samplesOf.length === 0 || (await grown(family)).length > 0);
    assert.deepEqual(await grown(family), samplesOf);
  }
}

describe('one failure is counted once:', () => {
  let node;
  before(async () => {
    node = await startSingle({
      env: {
        WEBSOCKET_AUTH_JWT_SECRET: key.secret,
        WEBSOCKET_AUTH_MODE: 'optional',
        WEBSOCKET_AUTH_COOKIE: 'login',
        WEBSOCKET_RATE_LIMITING: 'true',
        WEBSOCKET_RATE_LIMIT_CONNECTS: '1/m',
        WEBSOCKET_RATE_LIMIT_CONNECTS_BURST: '5',
      },
    });
    atEnd(() => node.kill());
  });

  test('a login by cookie without a proof of who asked', async () => {
    const Cookie = `login=${key.token({ sub: 'alice' })}`;
    await counts(node, { reason: 'csrf', type: 'refused' }, async () => {
      assert.equal((await ask(node.url, OPENING, { headers: { Cookie, 'Sec-Fetch-Site': 'cross-site' } })).status, 403);
    });
  });

  test('one connect more than an address may make in its time', async () => {
    const opening = () => ask(node.url, OPENING, { from: '127.0.0.41' });
    for (let index = 0; index < 5; index += 1) assert.equal((await opening()).status, 200);
    await counts(node, { reason: 'rate', type: 'refused' }, async () => assert.equal((await opening()).status, 429));
  });

  test('a packet that cannot be read', async () => {
    const socket = await openSocket(node.url, { from: '127.0.0.42' });
    await counts(node, { type: 'parse' }, async () => {
      socket.send('42nonsense');
      await until('the connection is closed', () => socket.closed !== null);
    });
  });

  test('a connection that is cut off in the middle', async () => {
    const socket = await openSocket(node.url, { from: '127.0.0.43' });
    await counts(node, { type: 'transport' }, () => socket.ws._socket.resetAndDestroy());
  });

  test('something that speaks no TLS where TLS is spoken', async (t) => {
    const secure = await startSecure(new Authority().issue('server'));
    t.after(() => secure.kill());
    await counts(secure, { reason: 'tls' }, async () => {
      const wire = await Wire.open(`http://127.0.0.1:${secure.securePort}`);
      await wire.send('GET / HTTP/1.1\r\n\r\n').ended();
    });
  });

  test('a publish that no quorum takes, and then a client that comes to a node without one', async (t) => {
    // Longer than the ten seconds that a publish waits: the client must not be let go before its answer.
    const cluster = await Cluster.start(3, { options: ['--isolation-after', '15s'] });
    t.after(() => cluster.stop());
    const [alone, ...others] = cluster.nodes;
    const client = await connect('a publisher', alone.url, { reconnection: false });
    await Promise.all(others.map((other) => other.kill()));
    await counts(alone, { type: 'publish' }, async () => {
      await assert.rejects(client.publish('room', 'lost'), { code: 'no_quorum' });
    });
    await until('the node is ready no more', async () => (await alone.health('/ready')).status === 503);
    await counts(alone, { reason: 'unavailable', type: 'connection' }, async () => {
      assert.equal((await ask(alone.url)).status, 503);
    });
  });
});
