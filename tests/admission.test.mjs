// A node that is nearly full when another one dies: whoever has a session gets in, whoever is new is told to come back later, and
// gets in at the end.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { Client, closeClients, connect } from './support/client.mjs';
import { Cluster } from './support/cluster.mjs';
import { metric } from './support/doors.mjs';
import { Polling, Socket } from './support/raw.mjs';
import { until } from './support/wait.mjs';

/** Connections of a node; the last tenth of them is for clients with a session. */
const MAX = 60;
const FOR_NEWCOMERS = MAX * 0.9;
/** Those that are there, those that come back: together they may fill the node to its last place. */
const [RESIDENTS, RESUMING, NEWCOMERS] = [50, 6, 20];

/** Lets a newcomer in as far as the handshake; a node whose last place is taken at that moment is asked again. */
const newcomer = (open) => until('the handshake of a newcomer is taken', open, { every: 50 });

async function openSocket(url) {
  const socket = new Socket(url);
  await until('the WebSocket is answered', () => socket.received.length > 0 || socket.refused || socket.error || socket.closed !== null);
  return socket.received.length > 0 ? socket : null;
}

test('clients with a session are taken before new ones, which are told so and wait', { timeout: 180_000 }, async () => {
  const cluster = await Cluster.plan(3, { env: { WEBSOCKET_MAX_CONNECTIONS_PER_SERVER: String(MAX) } });
  atEnd(() => cluster.stop());
  atEnd(closeClients);
  for (const node of cluster.nodes) node.spawn();
  await cluster.ready();
  const [leaving, full] = cluster.nodes;
  const herd = (count, name, urls, come = connect) => Array.from({ length: count }, (_, index) =>
    come(`${name} ${index}`, urls, index % 3 === 0 ? { transports: ['polling'] } : {}));
  const residents = await Promise.all(herd(RESIDENTS, 'resident', full.url));
  const resuming = await Promise.all(herd(RESUMING, 'resuming', [leaving.url, full.url]));
  await Promise.all(resuming.map((client) => client.join('room')));
  assert.deepEqual(resuming.map(({ last }) => last.url), resuming.map(() => leaving.url));

  // All at once: a node dies, its clients come, and so do those that were never here.
  await leaving.kill('SIGKILL');
  const newcomers = herd(NEWCOMERS, 'newcomer', full.url, (...options) => new Client(...options));
  await residents[0].publish('room', { id: 1 });
  for (const client of resuming) {
    const { recovered, id, url } = await client.reconnected();
    assert.deepEqual([recovered, id, url], [true, client.connects[0].id, full.url], client.name);
    await client.received(1);
  }
  const taken = () => newcomers.filter(({ connects }) => connects.length > 0).length;
  assert.ok(RESIDENTS + taken() <= FOR_NEWCOMERS, `${taken()} newcomers were taken`);
  assert.deepEqual(residents.filter(({ disconnects }) => disconnects.length > 0), [], 'somebody had to go');

  // Without those few: the node has places, and keeps them.
  const before = taken();
  for (const client of residents.splice(0, before)) client.close();

  // What newcomers are told: to come back, in the words of each transport.
  const { status, headers } = await (await newcomer(() => Polling.open(full.url, { connect: false }))).post('40');
  assert.equal(status, 503);
  assert.ok(Number(headers.get('retry-after')) >= 1, `Retry-After: ${headers.get('retry-after')}`);
  const socket = await newcomer(() => openSocket(full.url));
  socket.send('40');
  assert.equal(await socket.close(), 1013);
  assert.ok((await metric(full, 'vedfolnir_newcomers_postponed_total')) >= 2);
  assert.equal(taken(), before, 'a newcomer was taken meanwhile');

  // With room again everybody is in, by what the official client does by itself.
  for (const client of residents.slice(NEWCOMERS)) client.close();
  await Promise.all(newcomers.map((client) => client.connected()));
  for (const client of newcomers) assert.deepEqual(await client.ask('echo', client.name), [client.name]);
  assert.deepEqual(resuming.map(({ connects }) => connects.length), resuming.map(() => 2), 'one that came back had to go again');
});
