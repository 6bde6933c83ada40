// Out of service and back: drained by an operator, told to stop, in maintenance. Nobody loses a session or a message.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import WebSocket from 'ws';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Cluster, run } from './support/cluster.mjs';
import { Polling, request } from './support/raw.mjs';
import { next, until } from './support/wait.mjs';

const OPENING = { EIO: 4, transport: 'polling' };

/** A subcommand about one node: what it prints as JSON. */
async function does(node, ...args) {
  const { code, stdout, stderr } = await run([...args, '--json', '--addr', node.adminUrl]);
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout);
}

/** One that is refused: with one line that says why. */
async function refuses(node, args, pattern) {
  const { code, stderr } = await run([...args, '--addr', node.adminUrl]);
  assert.equal(code, 1, stderr);
  assert.equal(stderr.trim().split('\n').length, 1, stderr);
  assert.match(stderr, pattern);
}

async function health(node, status, code) {
  await until(`${node.name} is ${status}`, async () => (await node.health()).body.status === status);
  const answers = await Promise.all(['', '/ready', '/live'].map((part) => node.health(part)));
  assert.deepEqual(answers.map((answer) => answer.status), [code, code, 200]);
}

async function refusesHandshakes(node) {
  const { status, headers } = await request(node.url, OPENING);
  assert.equal(status, 503);
  assert.ok(Number(headers.get('retry-after')) >= 1);
}

/** The node's standing, as all nodes show it in `status`. */
const standsSo = (cluster, node, standing) => until(`all show that ${node.name} is ${standing}`, async () => {
  const { node_id: id } = await node.status();
  const views = await Promise.all(cluster.alive.map((each) => each.status()));
  return views.every(({ nodes }) => nodes.find((member) => member.id === id).standing === standing);
});

/** Clients of one node, of several kinds, that may go to the others as well. */
async function crowd(cluster, node, room) {
  const urls = [node.url, ...cluster.urls.filter((url) => url !== node.url)];
  const options = [{}, {}, {}, {}, {}, {}, {}, {}, { transports: ['polling'] }, { transports: ['polling'] },
    { transports: ['polling', 'websocket'] }, { reconnectionDelay: 1000, reconnectionDelayMax: 5000 }];
  const clients = await Promise.all(options.map((each, index) => connect(`${room} ${index}`, urls, each)));
  await Promise.all(clients.map((client) => client.join(room)));
  return clients;
}

/** Publishes one after the other until it is stopped; an answer that did not come says nothing. */
function publishes(client, room) {
  let going = true;
  const acknowledged = [];
  const ended = (async () => {
    for (let id = 0; going; id += 1) {
      try {
        await client.publish(room, { id });
        acknowledged.push(id);
      } catch {
        await client.connected(client.disconnects.length + 1);
      }
    }
  })();
  return { acknowledged, stop: async () => { going = false; await ended; } };
}

/** Everybody has been moved, kept the session and got everything once and in order. */
async function assertMoved(clients, published) {
  await Promise.all(clients.map((client) => client.reconnected()));
  await published.stop();
  assert.ok(published.acknowledged.length > 0);
  const last = published.acknowledged.at(-1);
  for (const client of clients) {
    await until(`${client.name} has message ${last}`, () => client.seen.includes(last));
    assert.ok(client.connects.every(({ recovered }, index) => recovered || index === 0), `${client.name} lost its session`);
    const seen = client.seen;
    assert.deepEqual(seen, [...new Set(seen)].sort((a, b) => a - b), `${client.name}: doubled or out of order`);
    for (const id of published.acknowledged) assert.ok(seen.includes(id), `${client.name} lost message ${id}`);
    assert.notEqual(client.disconnects[0].reason, 'io server disconnect');
  }
}

describe('a cluster of three', () => {
  let cluster;
  before(async () => {
    cluster = await Cluster.start(3, { env: { WEBSOCKET_DRAIN_TIMEOUT: '30s' } });
    atEnd(() => cluster.stop());
    atEnd(closeClients);
  });

  test('a node is drained at a pace, taken back half-way, drained to the last and taken back', { timeout: 180_000 }, async () => {
    const [node, other] = cluster.nodes;
    const clients = await crowd(cluster, node, 'drained');
    const published = publishes(clients[0], 'drained');

    // Another node's session, whose WebSocket passes through this one.
    const polling = await Polling.open(other.url);
    const through = new WebSocket(`${node.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket&sid=${polling.sid}`);
    await next(through, 'open');
    through.send('2probe');
    assert.equal(String((await next(through, 'message'))[0]), '3probe');
    through.send('5');
    through.send('420["echo","through"]');
    await until('the tunnel stands', async () => (await does(node, 'drain', '--status')).connections === clients.length + 1);
    const closed = next(through, 'close');

    const begun = await does(node, 'drain', '--rate', '1/s', '--no-wait');
    assert.deepEqual([begun.standing, begun.found, begun.rate], ['draining', clients.length + 1, 1]);
    await refuses(node, ['drain'], /draining already/);
    await health(node, 'draining', 503);
    await refusesHandshakes(node);
    await standsSo(cluster, node, 'draining');
    const stopped = await does(node, 'drain', '--stop');
    assert.equal(stopped.standing, 'serving');
    assert.ok(stopped.connections > 0, 'everybody went at once');
    await health(node, 'healthy', 200);
    assert.equal((await request(node.url, OPENING)).status, 200);
    await refuses(node, ['drain', '--stop'], /not being drained/);

    const { code, stdout } = await run(['drain', '--rate', '100/s', '--addr', node.adminUrl]);
    assert.equal(code, 0);
    assert.match(stdout, /^drained: \d+ clients were let go, none is left/);
    assert.equal((await does(node, 'drain', '--status')).connections, 0);
    const [closeCode] = await closed;
    assert.notEqual(closeCode, 1006, 'the tunnel was cut, not closed');
    await assertMoved(clients, published);
    assert.notEqual(await cluster.leader(), node);
    await does(node, 'drain', '--stop');
    await standsSo(cluster, node, 'serving');
    for (const client of clients) client.close();
  });

  test('SIGTERM: exit 0, and whoever was there goes on elsewhere', { timeout: 180_000 }, async () => {
    const node = await cluster.leader();
    const clients = await crowd(cluster, node, 'stopped');
    const published = publishes(clients[0], 'stopped');
    await clients[1].received(3);
    assert.deepEqual(await node.kill('SIGTERM'), { code: 0, signal: null }, node.tail());
    await assertMoved(clients, published);
    assert.match(node.output(), /connections_drained|no client is left/);
    for (const client of clients) client.close();
    await node.restart();
  });

  test('the listener serves on during the shutdown delay, and a second SIGTERM ends the node at once', { timeout: 180_000 }, async () => {
    const node = await cluster.leader();
    await node.kill('SIGTERM');
    node.env = { ...node.env, WEBSOCKET_SHUTDOWN_DELAY: '10m' };
    await node.restart();
    const urls = [node.url, ...cluster.urls.filter((url) => url !== node.url)];
    const client = await connect('client', urls);
    node.signal('SIGTERM');
    await health(node, 'draining', 503);
    const newcomer = await connect('newcomer', urls);
    assert.deepEqual(await newcomer.ask('echo', 'served'), ['served']);
    await until('it leads no more', async () => (await does(node, 'status')).leader !== (await does(node, 'status')).node_id);
    assert.equal(client.disconnects.length, 0);
    assert.deepEqual(await node.kill('SIGTERM'), { code: 0, signal: null });
    await Promise.all([client, newcomer].map((each) => each.reconnected()));
    assert.deepEqual([client.last.recovered, newcomer.last.recovered], [true, true]);
    delete node.env.WEBSOCKET_SHUTDOWN_DELAY;
    await node.restart();
  });

  test('maintenance keeps new clients away over a restart, and no majority gets into it', { timeout: 180_000 }, async () => {
    const [node, second, third] = cluster.nodes;
    const client = await connect('client', cluster.urls);
    assert.deepEqual((await does(node, 'maintenance', 'on')).on, true);
    await health(node, 'maintenance', 503);
    await refusesHandshakes(node);
    assert.deepEqual(await client.ask('echo', 'still here'), ['still here']);
    assert.equal(client.disconnects.length, 0);
    await standsSo(cluster, node, 'maintenance');
    assert.match(node.output(), /admin_action/);

    assert.deepEqual(await node.kill('SIGTERM'), { code: 0, signal: null });
    await client.reconnected();
    assert.equal(client.last.recovered, true);
    node.spawn();
    await until('it is back', async () => (await node.health()).body.status === 'maintenance');
    // Else an orchestrator would start it again and again.
    await until('it has started', async () => (await node.health('/startup')).status === 200);
    await until('it is a member again', async () => (await second.status()).nodes.every(({ live }) => live));
    await refuses(second, ['maintenance', 'on'], /only 1 of 3 nodes would take clients.*--force/);
    assert.deepEqual((await does(second, 'maintenance', '--status')).nodes.length, 1);
    assert.equal((await does(second, 'maintenance', 'on', '--force')).nodes.length, 2);
    for (const each of [node, second]) assert.equal((await does(each, 'maintenance', 'off')).on, false);
    await health(node, 'healthy', 200);

    // Two that ask at the same moment do not both get it.
    await until('all take clients', async () => (await Promise.all(cluster.nodes.map((each) => each.isReady()))).every(Boolean));
    const codes = await Promise.all([second, third].map(async ({ adminUrl }) => (await run(['maintenance', 'on', '--addr', adminUrl])).code));
    assert.deepEqual(codes.sort(), [0, 1]);
    for (const each of [second, third]) await does(each, 'maintenance', 'off');
    client.close();
  });
});

test('the last node that takes clients keeps them unless it is forced', async () => {
  const cluster = await Cluster.start(1);
  atEnd(() => cluster.stop());
  const [node] = cluster.nodes;
  await refuses(node, ['drain'], /no other node takes clients.*--force/);
  await refuses(node, ['maintenance', 'on'], /no other node would take clients.*--force/);
  const client = await connect('client', node.url);
  assert.equal((await does(node, 'drain', '--force')).connections, 0);
  await client.disconnected();
  await does(node, 'drain', '--stop');
  await client.reconnected();
  assert.equal(client.last.recovered, true);
  assert.deepEqual(await node.kill('SIGTERM'), { code: 0, signal: null });
  client.close();
});

test('the last node of a cluster ends without a quorum, long before its time is up', { timeout: 180_000 }, async () => {
  const cluster = await Cluster.start(3, { env: { WEBSOCKET_DRAIN_TIMEOUT: '10m' } });
  atEnd(() => cluster.stop());
  const [node, ...others] = cluster.nodes;
  const client = await connect('client', node.url, { reconnection: false });
  await client.join('room');
  await Promise.all(others.map((each) => each.kill('SIGKILL')));
  // Nobody is there to commit that its client has left.
  assert.deepEqual(await node.kill('SIGTERM'), { code: 0, signal: null }, node.tail());
  assert.match(node.output(), /could not be committed in time/);
  client.close();
});
