// The HTTP API: programs publish on any node, official clients receive; tokens, refusals, what is told and counted.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Cluster, freePort, run } from './support/cluster.mjs';
import { ask, FOREIGN, growth, logLines, TELLING } from './support/doors.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

const TOKENS = { admin: 'planted-api-admin-0123456789', publish: 'planted-api-publish-0123456789', read: 'planted-api-read-0123456789' };
const PROBLEM = 'urn:vedfolnir:problem:';

describe('three nodes', () => {
  let cluster;
  let clients;
  before(async () => {
    cluster = await Cluster.plan(3, {
      options: TELLING,
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
    clients = await Promise.all(cluster.urls.map((url, index) => connect(`client ${index}`, url)));
    await Promise.all(clients.map((client, index) => client.join(`room ${index}`)));
  });
  after(() => cluster.stop());

  const post = (node, path, body, { role = 'publish', headers = {}, from } = {}) =>
    ask(node.apiUrl, `/api/v1/${path}`, {
      method: 'POST',
      from,
      headers: { 'Content-Type': 'application/json', ...(role && { Authorization: `Bearer ${TOKENS[role]}` }), ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  const got = (client, id) => client.messages.filter(({ message }) => message.id === id);
  /** Waits until a client has a message; resolves with its offset. */
  const arrived = async (client, id) => {
    await until(`${client.name} has ${id}`, () => got(client, id).length > 0, { every: 5 });
    return got(client, id)[0].offset;
  };

  test('what any node is given reaches a room, a client, a namespace, on every node, with the offset that was answered', async () => {
    for (const [index, node] of cluster.nodes.entries()) {
      const id = `by node ${index}`;
      const { status, json } = await post(node, 'publish', { event: 'm', args: [{ id }] });
      assert.equal(status, 200);
      for (const client of clients) assert.equal(await arrived(client, id), json.offset);
    }
    const [first, second, third] = clients;
    const send = async (body, index = 0) => (await post(cluster.nodes[index], 'publish', { event: 'm', ...body })).status;
    assert.equal(await send({ room: 'room 1', args: [{ id: 'one room' }] }), 200);
    assert.equal(await send({ rooms: ['room 0', 'room 1', 'room 2'], except: [second.id], args: [{ id: 'but one' }] }, 1), 200);
    assert.equal(await send({ session: third.id, args: [{ id: 'one client' }] }, 2), 200);
    assert.equal(await send({ volatile: true, args: [{ id: 'volatile' }] }), 202);
    assert.equal(await send({ args: [{ id: 'end' }] }), 200);
    await Promise.all(clients.map((client) => arrived(client, 'end')));
    await Promise.all(clients.map((client) => arrived(client, 'volatile')));
    const who = (id) => clients.map((client) => got(client, id).length);
    assert.deepEqual(who('one room'), [0, 1, 0]);
    assert.deepEqual(who('but one'), [1, 0, 1]);
    assert.deepEqual(who('one client'), [0, 0, 1]);
    assert.equal(first.messages.length, new Set(first.seen).size, 'nothing came twice');
  });

  test('a session that began on another node a moment ago is found; one that never was is not', async () => {
    for (let round = 0; round < 10; round += 1) {
      const client = await connect(`new ${round}`, cluster.urls[round % 3]);
      const answer = await post(cluster.nodes[(round + 1) % 3], 'publish', { session: client.id, event: 'm', args: [{ id: `hello ${round}` }] });
      assert.equal(answer.status, 200, answer.text);
      await arrived(client, `hello ${round}`);
      client.close();
    }
    const { status, json, headers } = await post(cluster.nodes[0], 'publish', { session: 'nobody', event: 'm' });
    assert.deepEqual([status, json.type, json.field], [404, `${PROBLEM}unknown-session`, 'session']);
    assert.equal(headers['content-type'], 'application/problem+json');
  });

  test('a batch is delivered in its order, and what is wrong in it keeps nothing else back', async () => {
    const publishes = Array.from({ length: 300 }, (_, index) => ({ event: 'm', args: [{ id: `part ${index}` }] }));
    publishes[100] = { event: 'connect' };
    publishes[200] = { namespace: '/nowhere', event: 'm' };
    const { status, json } = await post(cluster.nodes[2], 'batch', { publishes });
    assert.equal(status, 200);
    assert.equal(json.results.length, 300);
    assert.deepEqual([json.results[100].status, json.results[100].problem.field], [422, 'publishes[100].event']);
    assert.deepEqual([json.results[200].status, json.results[200].problem.field], [404, 'publishes[200].namespace']);
    const good = publishes.map((_, index) => index).filter((index) => index !== 100 && index !== 200);
    await Promise.all(clients.map((client) => arrived(client, 'part 299')));
    for (const client of clients) {
      const parts = client.messages.filter(({ message }) => message.id.startsWith('part '));
      assert.deepEqual(parts.map(({ message }) => message.id), good.map((index) => `part ${index}`));
      assert.deepEqual(parts.map(({ offset }) => offset), good.map((index) => json.results[index].offset));
    }
  });

  test('tokens, web pages and what is too large are refused; each of it is told and counted, no token is', async () => {
    const [node] = cluster.nodes;
    const samples = ['2xx', '4xx', '5xx'].map((status) => ['vedfolnir_api_requests_total', { route: 'publish', class: status }]);
    const body = { event: 'm', args: [{ id: 'refused' }] };
    const grown = await growth(node, samples, async () => {
      const refused = async (expected, options, sent = body) => {
        const { status, json } = await post(node, 'publish', sent, options);
        assert.deepEqual([status, json.type.slice(PROBLEM.length)], expected);
      };
      await refused([401, 'unauthorized'], { role: null, from: '127.0.0.71' });
      await refused([401, 'unauthorized'], { role: null, from: '127.0.0.71', headers: { Authorization: 'Bearer guess' } });
      await refused([403, 'forbidden'], { role: 'read' });
      await refused([403, 'forbidden'], { headers: { Origin: FOREIGN } });
      await refused([415, 'unsupported-media-type'], { headers: { 'Content-Type': 'text/plain' } });
      await refused([400, 'malformed'], {}, '{"event":');
      assert.equal((await post(node, 'publish', { event: 'm', args: [{ id: 'accepted' }] }, { role: 'admin' })).status, 200);
    });
    assert.deepEqual(grown, [1, 6, 0]);
    await arrived(clients[0], 'accepted');
    assert.deepEqual(got(clients[0], 'refused'), []);
    const large = await post(node, 'publish', `{"event":"m","args":["${'x'.repeat(4 << 20)}"]}`);
    assert.deepEqual([large.status, large.json.type], [413, `${PROBLEM}too-large`]);
    const types = await until('it is told', () => {
      const told = logLines(node).map(({ event_type: type }) => type);
      return told.includes('api_action') && told.includes('api_authentication_failed') && told.includes('forbidden') && told;
    });
    assert.ok(types.length > 0);
    const told = logLines(node).filter(({ event_type: type, status }) => type === 'api_action' && status === 200);
    assert.ok(told.every(({ role, path, client_ip: ip }) => role && path.startsWith('/api/v1/') && ip === '127.0.0.1'), JSON.stringify(told[0]));
    for (const token of [...Object.values(TOKENS), 'Bearer guess']) assert.ok(!node.output().includes(token), token);
  });

  test('a node without its majority says that it does not know', async () => {
    const [first, ...others] = cluster.nodes;
    await Promise.all(others.map((node) => node.freeze()));
    const { status, json, headers } = await post(first, 'publish', { event: 'm', args: [{ id: 'unsure' }] });
    for (const node of others) node.signal('SIGCONT');
    assert.deepEqual([status, json.type], [503, `${PROBLEM}no-quorum`]);
    assert.match(json.detail, /may or may not have been committed/);
    assert.equal(headers['retry-after'], '1');
    await until('the cluster takes publishes again', async () => (await post(first, 'publish', { event: 'm', args: [{ id: 'again' }] })).status === 200);
  });
});

test('beyond this machine, and in production, no token is no start', async () => {
  for (const env of [{ WEBSOCKET_API_ADDR: '0.0.0.0:5003' }, { WEBSOCKET_API_ADDR: '127.0.0.1:5003', WEBSOCKET_PRODUCTION_MODE: 'true' }]) {
    const { code, stdout, stderr } = await run(['config', 'check'], { env });
    assert.notEqual(code, 0, JSON.stringify(env));
    assert.match(stdout + stderr, /WEBSOCKET_API_ADDR.*needs a token/s);
  }
});
