// Wall clocks that jump: nothing that the cluster decides depends on them.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Cluster } from './support/cluster.mjs';
import { compileShim } from './support/shim.mjs';
import { TcpProxy } from './support/tcp_proxy.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

const DAY = 86_400;

/** Days by which the node's clock differs from ours, as its health shows it. */
async function daysOff(node) {
  const { body } = await node.health();
  return Math.round((Date.parse(body.timestamp) - Date.now()) / 1000 / DAY);
}

describe('wall clocks that jump', () => {
  test('by days, on every node, forwards and back: sessions are neither lost nor kept longer, nobody else leads', { timeout: 240_000 }, async (t) => {
    const library = compileShim('jumping_clock');
    // Longer than this test can take, and far below what the clocks jump.
    const cluster = await Cluster.plan(3, { options: ['--recovery-window', '600s'] });
    t.after(() => cluster.stop());
    const offset = (node) => path.join(cluster.directory, `${node.name}.offset`);
    const jump = (node, days) => writeFileSync(offset(node), `${days * DAY}\n`);
    for (const node of cluster.nodes) {
      node.env = { LD_PRELOAD: library, VEDFOLNIR_TEST_CLOCK_OFFSET: offset(node) };
      node.spawn();
    }
    await cluster.ready();
    const leader = await cluster.leader();
    const [first, second] = cluster.nodes.filter((node) => node !== leader);
    const { term } = await leader.status();

    const client = await connect('client', [leader.url, first.url, second.url]);
    const proxy = await TcpProxy.listen([first.url, second.url, leader.url]);
    t.after(() => proxy.close());
    const away = await connect('away', proxy.url);
    const publisher = await connect('publisher', [second.url]);
    for (const one of [client, away]) await one.join('room');
    let published = 0;
    const publish = () => publisher.publish('room', { id: (published += 1) });
    await publish();
    for (const one of [client, away]) await one.received(1);

    // One of them is away while every clock jumps, each in its own way, and back again.
    proxy.refusing = true;
    proxy.cutAll();
    await away.disconnected();
    for (const days of [[3, -2, 1], [-4, 5, -1], [0, 0, 0]]) {
      cluster.nodes.forEach((node, index) => jump(node, days[index]));
      for (const [index, node] of cluster.nodes.entries()) {
        await until(`${node.name} believes its clock`, async () => (await daysOff(node)) === days[index]);
      }
      // Cluster time goes on: the leader commits a tick each second.
      const { applied_index: before } = await second.status();
      await until('the log goes on', async () => (await second.status()).applied_index > before + 2);
      for (let message = 0; message < 20; message += 1) await publish();
    }
    proxy.refusing = false;
    await away.reconnected();
    assert.equal(away.last.recovered, true, 'a jump of the clock ended a session');
    for (const one of [client, away]) {
      await until(`${one.name} has seen the last message`, () => one.seen.includes(published));
      assert.deepEqual(one.seen, Array.from({ length: published }, (_, index) => index + 1));
    }
    assert.equal(client.connects.length, 1, 'a jump of the clock cost a connection');
    const after = await leader.status();
    assert.deepEqual([after.leader, after.term], [after.node_id, term], 'a jump of the clock cost the leadership');
  });
});
