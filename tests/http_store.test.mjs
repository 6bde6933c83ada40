// The store over HTTP on three nodes: compare-and-set, ends, pages, what is refused, who may.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Cluster, freePort } from './support/cluster.mjs';
import { ask } from './support/doors.mjs';
import { until } from './support/wait.mjs';

const TOKENS = { admin: 'planted-api-admin-0123456789', publish: 'planted-api-publish-0123456789', read: 'planted-api-read-0123456789' };
const PROBLEM = 'urn:vedfolnir:problem:';

let cluster;
before(async () => {
  cluster = await Cluster.plan(3, {
    env: {
      WEBSOCKET_API_TOKEN: TOKENS.admin,
      WEBSOCKET_API_PUBLISH_TOKEN: TOKENS.publish,
      WEBSOCKET_API_READ_TOKEN: TOKENS.read,
    },
  });
  for (const node of cluster.nodes) {
    const port = await freePort();
    node.apiUrl = `http://127.0.0.1:${port}`;
    node.args.push('--api-addr', `127.0.0.1:${port}`);
    node.spawn();
  }
  await cluster.ready();
});
after(() => cluster.stop());

const call = (index, path, { method = 'GET', body, role = 'admin', headers = {} } = {}) =>
  ask(cluster.nodes[index].apiUrl, `/api/v1/store${path}`, { method, body, headers: { Authorization: `Bearer ${TOKENS[role]}`, ...headers } });
const put = (index, key, body, headers = {}, query = '') =>
  call(index, `/${key}${query}`, { method: 'PUT', body, headers: { 'Content-Type': 'application/octet-stream', ...headers } });
const get = (index, key, headers = {}) => call(index, `/${key}?consistency=linearizable`, { headers, role: 'read' });

describe('entries', () => {
  test('a value is on every node as it was put, under whatever key, until it is deleted', async () => {
    for (const [index, [key, value]] of [
      ['plain', 'text'],
      ['a/b//c', '{"not": "json'],
      ['r%C3%A4ume%2F%3F%25%20', 'ü'.repeat(1000)],
      ['empty', ''],
    ].entries()) {
      const stored = await put(index % 3, key, value);
      assert.equal(stored.status, 200, stored.text);
      assert.equal(stored.headers.etag, `"${stored.json.revision}"`);
      for (const node of [0, 1, 2]) {
        const { status, text, headers } = await get(node, key);
        assert.deepEqual([status, text, headers.etag], [200, value, stored.headers.etag], key);
        assert.deepEqual([headers['content-type'], headers['vedfolnir-expires-in-ms']], ['application/octet-stream', undefined]);
      }
      assert.equal((await get(1, key, { 'If-None-Match': stored.headers.etag })).status, 304);
      const removed = await call((index + 1) % 3, `/${key}`, { method: 'DELETE' });
      assert.deepEqual([removed.status, removed.json], [200, { existed: true }]);
      const again = await call(index % 3, `/${key}`, { method: 'DELETE' });
      assert.deepEqual([again.status, again.json], [200, { existed: false }]);
      const gone = await get(2, key);
      assert.deepEqual([gone.status, gone.json.type, gone.json.field], [404, `${PROBLEM}not-found`, 'key']);
    }
  });

  test('of writers on three nodes that expect the same revision one is right, and the others are told which it is now', async () => {
    const key = 'counter';
    const first = await put(0, key, '0', { 'If-None-Match': '*' });
    assert.equal(first.status, 200);
    const taken = await put(1, key, 'x', { 'If-None-Match': '*' });
    assert.deepEqual([taken.status, taken.json.type, taken.json.current], [412, `${PROBLEM}conflict`, first.json.revision]);
    const add = async (index) => {
      for (;;) {
        const { text, headers } = await get(index, key);
        const { status, json } = await put(index, key, String(Number(text) + 1), { 'If-Match': headers.etag });
        if (status === 200) return;
        assert.deepEqual([status, json.type], [412, `${PROBLEM}conflict`]);
        assert.notEqual(`"${json.current}"`, headers.etag);
      }
    };
    await Promise.all(Array.from({ length: 18 }, (_, index) => add(index % 3)));
    const { text, headers } = await get(1, key);
    assert.equal(text, '18', 'no addition is lost');
    const stale = await call(2, `/${key}`, { method: 'DELETE', headers: { 'If-Match': first.headers.etag } });
    assert.equal(stale.status, 412);
    const removed = await call(2, `/${key}`, { method: 'DELETE', headers: { 'If-Match': headers.etag } });
    assert.deepEqual(removed.json, { existed: true });
    const absent = await put(0, key, 'x', { 'If-Match': headers.etag });
    assert.deepEqual([absent.status, absent.json.current], [412, null]);
  });

  test('an entry with an end says when it comes, and is gone on every node then', async () => {
    assert.equal((await put(0, 'long', 'x', {}, '?ttl_ms=600000')).status, 200);
    const expires = Number((await get(1, 'long')).headers['vedfolnir-expires-in-ms']);
    assert.ok(expires > 0 && expires <= 600_000, String(expires));
    await put(1, 'short', 'x', {}, '?ttl_ms=1');
    await until('it has ended', async () => (await get(2, 'short')).status === 404);
    for (const node of [0, 1]) assert.equal((await get(node, 'short')).status, 404);
    // Written again without an end it has none.
    await put(2, 'long', 'y');
    assert.equal((await get(0, 'long')).headers['vedfolnir-expires-in-ms'], undefined);
  });

  test('a list shows keys in order, a page at a time, and what is no text as base64', async () => {
    const keys = Array.from({ length: 25 }, (_, index) => `list:${String(index).padStart(2, '0')}`);
    await Promise.all(keys.map((key, index) => put(index % 3, key, key)));
    await put(0, 'list:25', Buffer.from([0xff, 0x00]));
    await put(0, 'list;other', 'x');
    const seen = [];
    for (let after = ''; after !== null; ) {
      const { json } = await call(seen.length % 3, `?prefix=list%3A&limit=10&consistency=linearizable${after && `&after=${encodeURIComponent(after)}`}`, { role: 'read' });
      assert.ok(json.entries.length <= 10);
      seen.push(...json.entries);
      after = json.next;
    }
    assert.deepEqual(seen.map(({ key }) => key), [...keys, 'list:25']);
    assert.deepEqual([seen[3].value, seen[3].expires_in_ms], ['list:03', null]);
    assert.deepEqual([seen[25].value, seen[25].value_base64], [undefined, '/wA=']);
    assert.equal((await get(1, 'list:03')).headers.etag, `"${seen[3].revision}"`);
  });
});

describe('what is refused', () => {
  test('each role does what it may, and each mistake names what is wrong', async () => {
    for (const [role, method, expected] of [
      ['read', 'GET', 404],
      ['read', 'PUT', 403],
      ['read', 'DELETE', 403],
      ['publish', 'GET', 403],
      ['publish', 'PUT', 403],
      ['publish', 'DELETE', 403],
    ]) {
      const { status } = await call(0, '/no-such-entry', { method, role, headers: { 'Content-Type': 'application/octet-stream' } });
      assert.equal(status, expected, `${role} ${method}`);
    }
    const wrong = async ([status, type, field], asked) => {
      const answer = await asked;
      assert.deepEqual([answer.status, answer.json?.type?.slice(PROBLEM.length), answer.json?.field], [status, type, field], answer.text);
    };
    await wrong([422, 'invalid', 'ttl_ms'], put(0, 'k', 'x', {}, '?ttl_ms=0'));
    await wrong([422, 'invalid', 'ttl_ms'], put(0, 'k', 'x', {}, '?ttl_ms=soon'));
    await wrong([422, 'invalid', 'ttl'], put(0, 'k', 'x', {}, '?ttl=5'));
    await wrong([422, 'invalid', 'key'], put(0, '%00own', 'x'));
    await wrong([422, 'invalid', 'key'], put(0, '%ff', 'x'));
    await wrong([422, 'invalid', 'key'], put(0, 'k'.repeat(513), 'x'));
    await wrong([422, 'invalid', 'If-Match'], put(0, 'k', 'x', { 'If-Match': '*' }));
    await wrong([422, 'invalid', 'If-Match'], put(0, 'k', 'x', { 'If-Match': 'W/"1.0"' }));
    await wrong([422, 'invalid', 'If-Match'], put(0, 'k', 'x', { 'If-Match': '"01.0"' }));
    await wrong([422, 'invalid', 'If-None-Match'], put(0, 'k', 'x', { 'If-None-Match': '"1.0"' }));
    await wrong([422, 'invalid', 'If-None-Match'], put(0, 'k', 'x', { 'If-None-Match': '*', 'If-Match': '"1.0"' }));
    await wrong([422, 'invalid', 'If-None-Match'], call(0, '/k', { method: 'DELETE', headers: { 'If-None-Match': '*' } }));
    await wrong([415, 'unsupported-media-type', 'Content-Type'], put(0, 'k', 'x', { 'Content-Type': 'text/plain' }));
    await wrong([400, 'malformed', undefined], put(0, 'k', '{"a":', { 'Content-Type': 'application/json' }));
    await wrong([413, 'too-large', undefined], put(0, 'k', Buffer.alloc((256 << 10) + 1)));
    await wrong([422, 'invalid', 'limit'], call(0, '?limit=1001'));
    await wrong([422, 'invalid', 'key'], call(0, '?key=a'));
    await wrong([405, 'method-not-allowed', undefined], call(0, '/k', { method: 'POST' }));
    await wrong([404, 'not-found', undefined], call(0, '/'));
    // Nothing of it is there; the longest that may be is.
    const longest = 'k'.repeat(512);
    assert.equal((await put(1, longest, Buffer.alloc(256 << 10))).status, 200);
    assert.equal((await get(0, 'k')).status, 404);
    assert.equal((await get(2, longest)).text.length, 256 << 10);
  });
});
