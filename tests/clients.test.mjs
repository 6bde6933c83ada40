// The official clients with their default options: JavaScript on every transport, Python synchronous and asyncio.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { io } from 'socket.io-client';

import { Cluster } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { Client, closeClients } from './support/client.mjs';
import { next, until } from './support/wait.mjs';

let cluster;
before(async () => {
  cluster = await Cluster.start(3);
  atEnd(() => cluster.stop());
  atEnd(closeClients);
});

const ARGUMENTS = ['text', 7, { nested: [true, null] }, Buffer.from([0, 1, 254, 255])];

/** Echo with binary, join, rooms, publish from another node, receive, leave. */
async function relayWorks(client, room) {
  assert.deepEqual(await client.ask('echo', ...ARGUMENTS), ARGUMENTS);
  assert.deepEqual(await client.ask('echo'), []);
  await client.join(room);
  assert.ok((await client.call('rooms')).includes(room));
  const publisher = new Client('publisher', cluster.urls[1]);
  const { offset } = await publisher.call('publish', room, 'm', { id: 1 }, Buffer.from('binary'));
  assert.equal(typeof offset, 'string');
  const [received] = await client.received(1);
  assert.deepEqual(received.message, { id: 1 });
  assert.deepEqual(received.offset, Buffer.from('binary'));
  assert.equal(typeof received.extra[0], 'string', 'the offset is the last argument');
  await client.call('leave', room);
  assert.ok(!(await client.call('rooms')).includes(room));
  publisher.close();
  client.close();
}

test('socket.io-client with default options: polling, then the upgrade', async () => {
  const socket = io(cluster.urls[0], { forceNew: true });
  await next(socket, 'connect');
  assert.equal(socket.recovered, false);
  await until('the transport is upgraded', () => socket.io.engine.transport.name === 'websocket');
  assert.deepEqual(await socket.timeout(30_000).emitWithAck('echo', 1), 1);
  socket.disconnect();
});

test('socket.io-client: default transports', async () => {
  const client = new Client('default', cluster.urls[0], { transports: ['polling', 'websocket'] });
  await client.connected();
  await relayWorks(client, 'default');
});

test('socket.io-client: WebSocket only', async () => {
  const client = new Client('websocket', cluster.urls[2], { transports: ['websocket'] });
  await client.connected();
  await relayWorks(client, 'websocket');
});

test('socket.io-client: polling only', async () => {
  const client = new Client('polling', cluster.urls[0], { transports: ['polling'] });
  await client.connected();
  assert.equal(client.socket.io.engine.transport.name, 'polling');
  await relayWorks(client, 'polling');
});

test('messages sent while the transport upgrades keep their order and are all answered', async () => {
  for (let round = 0; round < 5; round += 1) {
    const client = new Client(`upgrading ${round}`, cluster.urls[round % 3], { transports: ['polling', 'websocket'] });
    await client.connected();
    await client.join(`upgrading ${round}`);
    const asked = [];
    const upgraded = until('the upgrade', () => client.socket.io.engine.transport.name === 'websocket', { every: 1 });
    let done = false;
    upgraded.finally(() => { done = true; });
    // Before, during and after the upgrade, at the pace of the answers; at least 50 in all.
    while (!done || asked.length < 50) {
      const id = asked.length;
      asked.push(client.publish(`upgrading ${round}`, { id }));
      if (id % 4 === 3) await asked[id];
    }
    await Promise.all(asked);
    await client.received(asked.length);
    assert.deepEqual(client.seen, asked.map((_, id) => id));
    assert.equal(client.disconnects.length, 0);
    client.close();
  }
});

test('two polling clients and two WebSocket clients on different nodes see the same order', async () => {
  const clients = [0, 1, 2, 0].map(
    (index, number) => new Client(`mixed ${number}`, cluster.urls[index], { transports: [number % 2 ? 'polling' : 'websocket'] }),
  );
  for (const client of clients) {
    await client.connected();
    await client.join('mixed');
  }
  await Promise.all(clients.flatMap((client, number) =>
    Array.from({ length: 50 }, (_, index) => client.publish('mixed', { id: `${number}:${index}` }))));
  // Whatever is there twice is there before the last one.
  await clients[0].publish('mixed', { id: 'last' });
  for (const client of clients) {
    await until(`${client.name} has the last message`, () => client.seen.includes('last'));
    assert.equal(client.seen.length, 201, 'each message once, also what a POST brought');
    assert.deepEqual(client.seen, clients[0].seen);
  }
  assert.equal(new Set(clients[0].seen).size, 201);
  for (const client of clients) client.close();
});

for (const kind of ['sync', 'asyncio', 'sync-plain', 'asyncio-plain']) {
  test(`python-socketio, ${kind.replace('-plain', ', ?recovery=false')}, default options`, { timeout: 120_000 }, async () => {
    const script = path.join(path.dirname(fileURLToPath(import.meta.url)), 'support/python_client.py');
    const { stdout } = await promisify(execFile)('python3', [script, kind, cluster.urls[0], cluster.urls[1]], {
      env: { ...process.env, PYTHONPATH: process.env.VEDFOLNIR_PYTHONPATH, PYTHONDONTWRITEBYTECODE: '1' },
      timeout: 100_000,
    });
    assert.equal(stdout.trim(), 'passed');
  });
}
