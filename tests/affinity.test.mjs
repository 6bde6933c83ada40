// No balancer has to be sticky: official clients through a plain round-robin NGINX, polling and upgrades included.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Cluster } from './support/cluster.mjs';
import { Nginx } from './support/nginx.mjs';
import { until } from './support/wait.mjs';

/** A counter of the page of metrics, over all nodes. */
async function sum(cluster, sample) {
  const pages = await Promise.all(cluster.alive.map(async ({ url }) => (await fetch(`${url}/websocket/metrics`)).text()));
  return pages.reduce((total, page) => total + Number(page.split('\n').find((line) => line.startsWith(`${sample} `))?.split(' ').at(-1) ?? NaN), 0);
}

const FORWARDED = 'vedfolnir_forwarded_requests_total{direction="out"}';
const ACTIVE = 'websocket_connections_active';
const RECEIVED = 'vedfolnir_forwarded_requests_total{direction="in"}';

describe('a round-robin balancer', () => {
  let cluster;
  let nginx;
  before(async () => {
    cluster = await Cluster.start(3);
    atEnd(() => cluster.stop());
    nginx = await Nginx.start(cluster.urls);
    atEnd(() => nginx.stop());
    atEnd(closeClients);
  });

  test('twenty clients with default options: polling, then the upgrade', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, (_, index) =>
      connect(`client ${index}`, nginx.url, { transports: ['polling', 'websocket'] })));
    await Promise.all(clients.map(async (client) => {
      await until(`${client.name} is on WebSocket`, () => client.socket.io.engine.transport.name === 'websocket');
      const big = Buffer.alloc(200_000, client.name);
      const [text, bytes] = await client.ask('echo', client.name, big);
      assert.equal(text, client.name);
      assert.ok(big.equals(bytes));
      assert.equal(client.connects.length, 1);
      assert.equal(client.errors.length, 0, client.errors[0]?.message);
    }));
    assert.ok(await sum(cluster, FORWARDED) > 0, 'nothing was passed on: the balancer is sticky');
    assert.ok(await sum(cluster, RECEIVED) > 0);
    for (const client of clients) client.close();
  });

  test('polling only: order, acks, binary, both ways', { timeout: 180_000 }, async () => {
    const options = { transports: ['polling'] };
    const [reader, writer] = await Promise.all([connect('reader', nginx.url, options), connect('writer', nginx.url, options)]);
    await reader.join('room');
    const answers = [];
    for (let id = 0; id < 200; id += 1) answers.push(writer.publish('room', { id, bytes: Buffer.from([id, 0, 255]) }));
    await Promise.all(answers);
    await reader.received(200);
    assert.deepEqual(reader.seen, Array.from({ length: 200 }, (_, id) => id));
    for (const { message } of reader.messages) assert.deepEqual([...message.bytes], [message.id, 0, 255]);
    const echoes = await Promise.all(Array.from({ length: 50 }, (_, n) => writer.ask('echo', n, Buffer.from([n]))));
    echoes.forEach(([n, bytes], index) => assert.deepEqual([n, ...bytes], [index, index]));
    for (const client of [reader, writer]) {
      assert.equal(client.connects.length, 1, `${client.name} lost its connection: ${client.disconnects[0]?.reason}`);
      client.close();
    }
  });

  test('what a node refuses, it refuses through another one: sids, oversize, a second poll', async () => {
    const [a, b] = cluster.urls;
    const at = (url, sid) => `${url}/socket.io/?EIO=4&transport=polling&sid=${sid}`;
    const open = async () => {
      const text = await (await fetch(`${a}/socket.io/?EIO=4&transport=polling`)).text();
      return JSON.parse(text.slice(1)).sid;
    };
    const sid = await open();
    assert.equal((await fetch(at(b, sid), { method: 'POST', body: '40' })).status, 200);
    assert.match(await (await fetch(at(b, sid))).text(), /^40\{"sid"/);
    assert.equal((await fetch(at(b, sid), { method: 'POST', body: 'x'.repeat(1_000_001) })).status, 413);
    assert.equal((await fetch(at(b, sid), { method: 'POST', body: '420["echo",1]' })).status, 200, 'the session did not survive');
    assert.equal(await (await fetch(at(a, sid))).text(), '430[1]');

    // Clients of the other tests poll, too.
    await closeClients();
    await until('this is the only session', async () => (await sum(cluster, ACTIVE)) === 1);
    const before = await sum(cluster, RECEIVED);
    const flipped = sid.slice(0, 40) + (sid[40] === 'A' ? 'B' : 'A') + sid.slice(41);
    const refused = await fetch(at(b, flipped));
    assert.deepEqual([refused.status, (await refused.json()).code], [400, 1]);
    assert.equal(await sum(cluster, RECEIVED), before, 'a made-up sid reached its owner');

    const waiting = fetch(at(b, sid));
    const deadline = performance.now() + 30_000;
    const others = [];
    let second;
    // The first may still be on its way to the owner. Of two, one is refused and the other ends, in whatever order they come.
    do {
      others.push(fetch(at(a, sid)));
      second = await Promise.race([others.at(-1), waiting.then(() => null)]);
    } while (second?.status === 200 && performance.now() < deadline);
    const statuses = (await Promise.all([waiting, ...others])).map(({ status }) => status).sort();
    assert.ok(statuses.includes(400), `${statuses}`);
    const after = await fetch(at(b, sid));
    assert.deepEqual([after.status, (await after.json()).code], [400, 1]);
  });

  test('the owner dies: a polling client behind the balancer is recovered', { timeout: 180_000 }, async () => {
    const options = { transports: ['polling'] };
    const client = await connect('client', nginx.url, options);
    const publisher = await connect('publisher', nginx.url, options);
    await client.join('room');
    await publisher.publish('room', { id: 0 });
    await client.received(1);
    // The sid names its owner: bytes 1 to 8 are the node's id.
    const owner = (polling) => Buffer.from(polling.socket.io.engine.id, 'base64url').readBigUInt64BE(1).toString(16).padStart(16, '0');
    const named = owner(client);
    const views = await Promise.all(cluster.nodes.map((node) => node.status()));
    const victim = cluster.nodes[views.findIndex(({ node_id: id }) => id === named)];
    assert.ok(victim, `no node is ${named}`);
    await victim.kill();
    // Two of three requests still find a node: the client tries until it is connected again.
    await client.reconnected();
    assert.equal(client.last.recovered, true);
    assert.equal(client.last.id, client.connects[0].id);
    await until('the publisher publishes again', async () => {
      try {
        await publisher.publish('room', { id: 1 });
        return true;
      } catch {
        return false;
      }
    });
    await until('the message', () => client.seen.includes(1));
    assert.deepEqual(client.seen.filter((id) => id === 0), [0]);
    await victim.restart();
  });
});
