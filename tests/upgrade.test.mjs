// Releases side by side: a cluster is upgraded node by node under traffic, and old copies of a data directory are kept out.
//
//   VEDFOLNIR_FORMAT_1_BIN=PATH   upgrades from this binary, which knows only format 1, as well

import assert from 'node:assert/strict';
import { cp, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { BINARY, Cluster, run } from './support/cluster.mjs';
import { assertClean, audit, Ledger } from './support/oracle.mjs';
import { Publisher } from './support/publisher.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

const NEWEST = 4;
const PREVIOUS = ['--format-version', String(NEWEST - 1)];

/** The node ends by itself, and says why in one line. */
async function assertRefused(node, pattern) {
  if (!node.alive) node.spawn();
  await until(`${node.name} ends`, () => !node.alive);
  const output = node.output();
  assert.deepEqual(node.exit, { code: 1, signal: null }, output);
  const lines = output.split('\n').filter((line) => line.startsWith('vedfolnir: '));
  assert.equal(lines.length, 1, `not one line says why:\n${output}`);
  assert.match(lines[0], pattern);
  assert.doesNotMatch(output, /panicked/);
}

async function metric(node, name) {
  const page = await (await fetch(`${node.url}/websocket/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(page)?.[1]);
}

async function membersAt(node) {
  const { code, stdout, stderr } = await run(['members', '--json', '--addr', node.adminUrl]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

const withoutFlag = (node) => node.args.splice(node.args.indexOf(PREVIOUS[0]), PREVIOUS.length);

/** How a node of the previous format is started, and how it is upgraded before its next start. */
const PREDECESSORS = [
  {
    what: 'this binary, told to speak the previous format',
    begin: (node) => node.args.push(...PREVIOUS),
    upgrade: withoutFlag,
  },
  {
    what: 'a binary that knows no other format',
    binary: process.env.VEDFOLNIR_FORMAT_1_BIN,
    begin: (node) => { node.binary = process.env.VEDFOLNIR_FORMAT_1_BIN; },
    upgrade: (node) => { node.binary = BINARY; },
  },
];

describe('a rolling upgrade', () => {
  for (const predecessor of PREDECESSORS) {
    const skip = 'binary' in predecessor && !predecessor.binary ? 'VEDFOLNIR_FORMAT_1_BIN names no binary' : false;
    test(`from ${predecessor.what}, loses nothing, and the format rises with the last node`, { timeout: 600_000, skip }, async (t) => {
      // Snapshots are taken, and sent, by both releases.
      const cluster = await Cluster.plan(3, { options: ['--snapshot-entries', '100'] });
      t.after(() => cluster.stop());
      cluster.nodes.forEach(predecessor.begin);
      for (const node of cluster.nodes) node.spawn();
      await cluster.ready();

      const rooms = ['room 0', 'room 1', 'room 2'];
      const urls = (start) => [...cluster.urls.slice(start), ...cluster.urls.slice(0, start)];
      const clients = await Promise.all(Array.from({ length: 12 }, (_, index) => connect(`client ${index}`, urls(index % 3))));
      await Promise.all(clients.map((client, index) => client.join(rooms[index % rooms.length])));
      const ledger = new Ledger();
      const publishers = await Promise.all([0, 1].map(async (index) => new Publisher(await connect(`p${index}`, urls(index)), ledger, rooms).start(25)));
      const settled = async (what) => {
        const goal = ledger.acknowledged.length + 60;
        await until(() => `traffic goes on after ${what}`, () => ledger.acknowledged.length >= goal, { within: 120_000 });
        const everyone = [...clients, ...publishers.map(({ client }) => client)];
        await until(
          () => `all are connected after ${what}; not: ${everyone.filter(({ socket }) => !socket.connected).map(({ name }) => name)}`,
          () => everyone.every(({ socket }) => socket.connected), { within: 120_000 });
        t.diagnostic(`${what}: ${ledger.acknowledged.length} acknowledged`);
      };
      await settled('the start');

      const upgraded = [];
      const order = [...(await cluster.followers()), await cluster.leader()];
      for (const node of order) {
        const { code } = await node.kill('SIGTERM');
        assert.equal(code, 0, node.tail());
        predecessor.upgrade(node);
        await node.restart();
        upgraded.push(node);
        await settled(`${upgraded.length} of 3 nodes were upgraded`);
        if (upgraded.length === order.length) break;
        // The leader has looked at all of them by now, more than once, and left the format as it is.
        const { cluster_time_ms: since } = await node.status();
        await until('cluster time passes', async () => (await node.status()).cluster_time_ms > since + 2_000);
        const { format, members } = await membersAt(node);
        assert.equal(format, NEWEST - 1, 'the format rose before every node spoke it');
        const formats = members.map(({ format: spoken }) => spoken).sort();
        assert.deepEqual(formats, [...Array(order.length - upgraded.length).fill(NEWEST - 1), ...Array(upgraded.length).fill(NEWEST)]);
        assert.equal(await metric(node, 'vedfolnir_cluster_format'), NEWEST - 1);
        assert.equal(await metric(node, 'vedfolnir_node_format'), NEWEST);
      }
      await until('every node writes the new format', async () => {
        const views = await Promise.all(cluster.nodes.map((node) => node.status()));
        return views.every(({ format }) => format === NEWEST);
      });
      assert.equal(await metric(order[0], 'vedfolnir_cluster_format'), NEWEST);
      await settled('the format rose');

      // From here on there is no way back: not for a member, not for a new node.
      const [node] = await cluster.followers();
      await node.kill('SIGTERM');
      node.args.push(...PREVIOUS);
      await assertRefused(node, new RegExp(`writes format ${NEWEST}, but this node was told to speak format ${NEWEST - 1} at most.*--format-version`));
      withoutFlag(node);
      await node.restart();
      const late = await cluster.addition({ options: PREVIOUS });
      await assertRefused(late, new RegExp(`speaks format ${NEWEST - 1} at most, but its cluster writes format ${NEWEST}`));
      if (predecessor.binary) {
        const older = await cluster.addition();
        predecessor.begin(older);
        older.spawn();
        await until('the old binary says why it does not get in', () => /speaks format 2 at most, but its cluster writes format 3/.test(older.output()));
        await older.kill();
        await node.kill('SIGTERM');
        predecessor.begin(node);
        await assertRefused(node, /version 2, this binary reads version 1: start it with the newer binary/);
        predecessor.upgrade(node);
        await node.restart();
      }
      assert.equal((await membersAt(node)).members.length, 3);
      await settled('the refusals');

      await Promise.all(publishers.map((publisher) => publisher.stop()));
      for (const publisher of publishers) await publisher.fence();
      await until('every client has seen every acknowledged message', () => audit(ledger, clients).lost.length === 0, { every: 250 }).catch(() => {});
      t.diagnostic(`${ledger.acknowledged.length} messages acknowledged, ${ledger.unknown.length} unknown`);
      assertClean(audit(ledger, clients));
    });
  }
});

describe('an old copy of a data directory', () => {
  test('that is put back in its place is refused before Raft meets it', { timeout: 180_000 }, async (t) => {
    const cluster = await Cluster.start(3);
    t.after(() => cluster.stop());
    await until('the format rose', async () => (await cluster.nodes[0].status()).format === NEWEST);
    const [node, other] = await cluster.followers();
    const client = await connect('client', other.url);
    await client.join('room');
    const publisher = await connect('publisher', other.url);
    const publish = async (from, to) => {
      for (let id = from; id < to; id += 1) await publisher.publish('room', { id });
    };
    await publish(0, 10);
    await node.kill('SIGTERM');
    const copy = path.join(cluster.directory, 'copy');
    const kept = path.join(cluster.directory, 'kept');
    await cp(node.dataDir, copy, { recursive: true, filter: (source) => !source.endsWith('.sock') });
    // The node goes on, and acknowledges what the copy has never heard of.
    await node.restart();
    await publish(10, 60);
    await node.kill('SIGTERM');
    await rename(node.dataDir, kept);
    await cp(copy, node.dataDir, { recursive: true });
    const leader = await cluster.leader();
    const { term } = await leader.status();

    await assertRefused(node, /has seen life [0-9a-f]{16}\.\d+ of this node.*is a copy/);
    const said = cluster.alive.filter((peer) => /has seen life .* is a copy/.test(peer.output()));
    assert.ok(said.length > 0, 'none of its peers says why it was refused');
    await publish(60, 70);
    await client.received(70);
    assert.equal(await cluster.leader(), leader);
    assert.equal((await leader.status()).term, term, 'it disturbed the leader');
    for (const peer of cluster.alive) {
      assert.equal(await peer.isReady(), true);
      assert.doesNotMatch(peer.output(), /panicked/);
    }

    // With its own data directory it comes back as if nothing had happened.
    await rm(node.dataDir, { recursive: true });
    await rename(kept, node.dataDir);
    await node.restart();
    assert.match(node.output(), /restarted/);
  });
});
