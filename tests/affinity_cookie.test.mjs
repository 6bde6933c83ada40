// What a balancer can keep a client on its node by: the cookie, the key of a query, and how many clients are bound.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { Client, closeClients, connect } from './support/client.mjs';
import { Cluster, getJson } from './support/cluster.mjs';
import { askUpgrade } from './support/doors.mjs';
import { request } from './support/raw.mjs';
import { next, until } from './support/wait.mjs';

const OPENING = { EIO: 4, transport: 'polling' };
const NAME = 'WEBSOCKET_SERVER';

/** The cookie that a handshake is answered with: { value, rest }, or null. */
async function given(url, { cookie, query = {}, headers = {} } = {}) {
  const answer = await request(url, { ...OPENING, ...query }, { headers: { ...headers, ...(cookie && { cookie }) } });
  assert.equal(answer.status, 200, answer.text);
  const found = answer.headers.getSetCookie().find((line) => line.startsWith(`${NAME}=`));
  const hint = JSON.parse(answer.text.slice(1)).websocket_server_id;
  return { ...(found && { value: /=([^;]*)/.exec(found)[1], rest: found.slice(found.indexOf(';')) }), hint };
}

/** One letter changed. */
const tampered = (value) => `${value.slice(0, 20)}${value[20] === 'A' ? 'B' : 'A'}${value.slice(21)}`;

describe('with affinity', () => {
  let cluster;
  before(async () => {
    cluster = await Cluster.start(2, {
      env: {
        WEBSOCKET_SESSION_AFFINITY: 'true', WEBSOCKET_SESSION_AFFINITY_TIMEOUT: '600', WEBSOCKET_TRUST_PROXY_HEADERS: 'true',
        WEBSOCKET_TRUSTED_PROXIES: '127.0.0.0/8',
      },
    });
    atEnd(() => cluster.stop());
    atEnd(closeClients);
  });

  test('a first handshake is given a cookie, whoever shows it is given none, and another node gives its own', async () => {
    const [a, b] = cluster.urls;
    const first = await given(a);
    assert.match(first.value, /^[\w-]{44}$/);
    assert.equal(first.rest, '; Path=/; Max-Age=600; HttpOnly; SameSite=Lax');
    assert.match(first.hint, /^[\w-]{44}$/);
    const cookie = `a=1; ${NAME}=${first.value}`;
    assert.equal((await given(a, { cookie })).value, undefined);
    const elsewhere = await given(b, { cookie });
    assert.notEqual(elsewhere.value, first.value);
    assert.equal((await given(b, { cookie: `${NAME}=${elsewhere.value}` })).value, undefined);
    assert.match((await given(a, { headers: { 'x-forwarded-proto': 'https' } })).rest, /SameSite=Lax; Secure$/);
    // A poll has none, and neither has a refusal.
    const refused = await request(a, { ...OPENING, EIO: 3 });
    assert.deepEqual([refused.status, refused.headers.getSetCookie()], [400, []]);
  });

  test('one that was changed is replaced and told; a balancer\'s own is left alone', async () => {
    const [node] = cluster.nodes;
    const count = async () => {
      const page = await (await fetch(`${node.url}/websocket/metrics`)).text();
      return Number(/websocket_security_events_total\{type="affinity_forged"\} (\d+)/.exec(page)[1]);
    };
    const before = await count();
    const { value, hint } = await given(node.url);
    const replaced = await given(node.url, { cookie: `${NAME}=${tampered(value)}` });
    assert.match(replaced.value, /^[\w-]{44}$/);
    assert.notEqual(replaced.value, tampered(value));
    await given(node.url, { query: { websocket_server_id: tampered(hint) } });
    assert.equal(await count(), before + 2);
    // A line takes its way through the log's writer and a pipe.
    await until('it is told', () => /affinity_forged|an affinity cookie or key/.test(node.output()));
    for (const foreign of ['app1', '0123456789abcdef']) {
      assert.equal((await given(node.url, { cookie: `${NAME}=${foreign}` })).value, undefined, foreign);
    }
    assert.equal((await given(node.url, { query: { websocket_server_id: hint } })).value !== undefined, true);
    assert.equal(await count(), before + 2);
  });

  test('official clients find the key in the handshake\'s data and show it, and are counted while they are bound', async () => {
    const [node, other] = cluster.nodes;
    const total = async (at) => (await getJson(`${at.adminUrl}/affinity`)).body;
    await until('nobody is bound', async () => (await total(node)).total_affinities === 0);
    const client = new Client('client', node.url, { transports: ['polling', 'websocket'], autoConnect: false });
    client.socket.connect();
    const [{ websocket_server_id: hint }] = await next(client.socket.io.engine, 'handshake');
    assert.match(hint, /^[\w-]{44}$/);
    await client.connected();
    const second = await connect('second', other.url, { query: { websocket_server_id: hint } });
    const view = await until('both are bound', async () => {
      const seen = await total(other);
      return seen.total_affinities === 2 && seen;
    });
    assert.deepEqual(view.nodes.map(({ connected }) => connected), [1, 1]);
    assert.deepEqual([view.enabled, view.timeout], [true, 600]);
    assert.equal((await node.status()).total_affinities, 2);
    for (const each of [client, second]) each.close();
    await until('nobody is bound', async () => (await total(node)).total_affinities === 0);
  });

  test('a WebSocket\'s handshake is answered with it, too', async () => {
    const answer = await askUpgrade(cluster.urls[0]);
    assert.equal(answer.status, 101);
    assert.match(answer.headers['set-cookie'].join(), new RegExp(`${NAME}=[\\w-]{44}; Path=/`));
  });
});

test('an affinity ends with the time-out after its connection, and none of this is there unless it is asked for', async () => {
  const cluster = await Cluster.start(1, { env: { WEBSOCKET_SESSION_AFFINITY_TIMEOUT: '1' } });
  atEnd(() => cluster.stop());
  const [node] = cluster.nodes;
  const plain = await given(node.url);
  assert.deepEqual([plain.value, plain.hint], [undefined, undefined]);
  const client = await connect('client', node.url, { reconnection: false });
  assert.equal((await node.status()).total_affinities, 1);
  client.drop();
  await until('the affinity is over', async () => (await node.status()).total_affinities === 0);
  assert.equal((await node.status()).sessions_disconnected, 1, 'its session waits for it');
});
