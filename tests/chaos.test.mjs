// The main job: three nodes, a hundred stock clients in ten rooms over all nodes, publishers on two nodes at a steady
// rate; nodes are killed, connections go half-open, everything is killed at once. Nothing is lost, nothing comes twice,
// all see one order, and every reconnection gives every client its session back.
//
//   VEDFOLNIR_CHAOS_CLIENTS, _RATE (messages per second), _ROUNDS: a longer run.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Cluster } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { assertClean, audit, Ledger } from './support/oracle.mjs';
import { Publisher } from './support/publisher.mjs';
import { TcpProxy } from './support/tcp_proxy.mjs';
import { until } from './support/wait.mjs';

const CLIENTS = Number(process.env.VEDFOLNIR_CHAOS_CLIENTS ?? 100);
const ROOMS = 10;
const RATE = Number(process.env.VEDFOLNIR_CHAOS_RATE ?? 50);
const ROUNDS = Number(process.env.VEDFOLNIR_CHAOS_ROUNDS ?? 1);
/** Messages that must be committed between two faults, so that each fault meets traffic and is followed by some. */
const TRAFFIC = 60;

describe('the main job', () => {
  test(`${CLIENTS} clients in ${ROOMS} rooms survive every fault`, { timeout: 900_000 * ROUNDS }, async (t) => {
    const cluster = await Cluster.start(3);
    atEnd(() => cluster.stop());
    const proxies = await Promise.all([0, 1, 2].map((preferred) => TcpProxy.listen(cluster.urls, { preferred })));
    atEnd(() => Promise.all(proxies.map((proxy) => proxy.close())));
    atEnd(closeClients);

    // Two of three know all urls and try the next at every reconnection; the third knows one url, a proxy that fails over.
    const clients = await Promise.all(Array.from({ length: CLIENTS }, (_, index) => {
      const node = index % 3;
      const urls = Math.floor(index / 3) % 3 === 0
        ? proxies[node].url
        : [...cluster.urls.slice(node), ...cluster.urls.slice(0, node)];
      // One in ten starts on polling and upgrades, one in ten keeps the client's default delays.
      const options = index % 10 === 3 && typeof urls !== 'string' ? { transports: ['polling', 'websocket'] } : {};
      if (index % 10 === 7) Object.assign(options, { reconnectionDelay: 1000, reconnectionDelayMax: 5000 });
      return connect(`client ${index}`, urls, options);
    }));
    await Promise.all(clients.map((client, index) => client.join(`room ${index % ROOMS}`)));
    // Some are in a second room: only they can tell whether rooms share one order.
    await Promise.all(clients.filter((_, index) => index % 4 === 0).map((client, index) => client.join(`room ${(index * 4 + 3) % ROOMS}`)));

    const ledger = new Ledger();
    const publishers = await Promise.all([0, 1].map(async (index) => new Publisher(
      await connect(`p${index}`, [...cluster.urls.slice(index), ...cluster.urls.slice(0, index)]), ledger,
      Array.from({ length: ROOMS }, (_, room) => `room ${room}`))));
    for (const publisher of publishers) publisher.start(RATE / publishers.length);

    const committed = () => ledger.acknowledged.length;
    const traffic = async (count = TRAFFIC) => {
      const goal = committed() + count;
      await until(() => `${count} more messages are committed (${goal - committed()} to go)`, () => committed() >= goal, { within: 120_000 });
    };
    const everyone = [...clients, ...publishers.map(({ client }) => client)];
    const allConnected = (what) => until(
      () => `all are connected after ${what}; these are not: ${everyone.filter(({ socket }) => !socket.connected).map(({ name }) => name)}`,
      () => everyone.every(({ socket }) => socket.connected), { within: 120_000 });
    /** Who is connected to the node, directly or through a proxy, loses its connection with it. */
    const fault = async (what, action) => {
      const at = performance.now();
      const before = everyone.map(({ connects }) => connects.length);
      await action();
      await traffic();
      await allConnected(what);
      const delays = everyone
        .flatMap(({ connects }, index) => connects.slice(before[index]))
        .map((connect) => connect.at - at)
        .sort((a, b) => a - b);
      const late = (share) => Math.round(delays[Math.min(delays.length - 1, Math.floor(delays.length * share))] ?? 0);
      t.diagnostic(`${what}: ${delays.length} reconnections, back after p50 ${late(0.5)} ms, p99 ${late(0.99)} ms`);
      return delays.length;
    };

    await traffic();
    for (let round = 0; round < ROUNDS; round += 1) {
      const follower = (await cluster.followers())[round % 2];
      assert.ok(await fault('kill -9 of a follower', () => follower.kill()) > 0);
      await follower.restart();
      await traffic();

      const leader = await cluster.leader();
      assert.ok(await fault('kill -9 of the leader', () => leader.kill()) > 0);
      await leader.restart();
      await traffic();

      const through = proxies.reduce((sum, { connections }) => sum + connections, 0);
      assert.ok(through > 0, 'nobody is connected through a proxy');
      const reset = await fault('half-open connections', () => proxies.forEach((proxy) => proxy.halfOpenAll()));
      assert.ok(reset >= through, `${reset} of ${through} reconnected`);
      proxies.forEach((proxy) => proxy.forgetHalfOpen());

      assert.ok(await fault('kill -9 of all three nodes and their restart', async () => {
        await Promise.all(cluster.nodes.map((node) => node.kill()));
        await Promise.all(cluster.nodes.map((node) => node.restart()));
      }) >= everyone.length);
      await traffic();
    }

    await Promise.all(publishers.map((publisher) => publisher.stop()));
    await allConnected('the last fault');
    for (const publisher of publishers) await publisher.fence();
    const missing = () => {
      const report = audit(ledger, clients);
      return report.lost;
    };
    // Whatever is on its way arrives; what does not is lost.
    await until('every client has seen every acknowledged message', () => missing().length === 0, { every: 250 }).catch(() => {});
    const report = audit(ledger, clients);
    const deliveries = clients.reduce((sum, { messages }) => sum + messages.length, 0);
    const reconnections = everyone.reduce((sum, { connects }) => sum + connects.length - 1, 0);
    t.diagnostic(`${committed()} messages acknowledged, ${ledger.unknown.length} unknown, ${deliveries} deliveries, ${reconnections} reconnections`);
    t.diagnostic(Object.entries(report).map(([kind, list]) => `${kind} ${list.length}`).join(', '));
    assertClean(report);
    for (const { client } of publishers) {
      assert.ok(client.connects.slice(1).every(({ recovered }) => recovered), `${client.name} was not recovered`);
    }
    for (const client of clients) {
      assert.ok(client.messages.every(({ offset }) => typeof offset === 'string'), 'a message came without an offset');
      const rooms = await client.call('rooms');
      for (const room of client.rooms) assert.ok(rooms.includes(room), `${client.name} is no longer in ${room}`);
    }
    assert.equal(new Set((await Promise.all(cluster.nodes.map((node) => node.status()))).map((view) => view.cluster_id)).size, 1);
  });
});
