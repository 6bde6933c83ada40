// Disks that are full or hang under a running node: nobody else is disturbed, nothing acknowledged is lost.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Cluster, planNode, portsOfNode, temporaryDirectory } from './support/cluster.mjs';
import { compileShim } from './support/shim.mjs';
import { SmallDisk } from './support/small_disk.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

const FILLER = randomBytes(32 << 10).toString('hex');

/** A disk that ends with the test; `null` and a skipped test where nothing can be mounted. */
async function smallDisk(t, directory, size) {
  const disk = await SmallDisk.make(directory, size);
  if (disk === null) t.skip('this system lets no test mount a small file system');
  else t.after(() => disk.close());
  return disk;
}

/** What the node says as it ends. */
const lastWord = (node) => node.output().split('\n').find((line) => line.startsWith('vedfolnir: '));

describe('a disk that hangs', () => {
  test('under the leader: another node leads, clients resume there, nothing is lost; with the disk back it is a member as before', { timeout: 240_000 }, async (t) => {
    const library = compileShim('hanging_fsync');
    const cluster = await Cluster.plan(3);
    t.after(() => cluster.stop());
    const hang = (node) => path.join(cluster.directory, `${node.name}.hang`);
    for (const node of cluster.nodes) {
      node.env = { LD_PRELOAD: library, VEDFOLNIR_TEST_HANG_WHILE: hang(node) };
      node.spawn();
    }
    await cluster.ready();
    const leader = await cluster.leader();
    const others = cluster.nodes.filter((node) => node !== leader);
    const client = await connect('client', [leader.url, ...others.map(({ url }) => url)]);
    await client.join('room');
    const publisher = await connect('publisher', others.map(({ url }) => url));
    let published = 0;
    const publish = () => publisher.publish('room', { id: (published += 1) });
    await publish();
    await client.received(1);

    writeFileSync(hang(leader), '');
    // Somebody has to write, or nobody notices.
    const publishing = until('another node leads', async () => {
      await publish();
      const view = await others[0].status();
      return view.leader && view.leader !== (await leader.status()).node_id;
    }, { every: 0 });
    await publishing;
    await publish();
    await until('the client has seen the last message', () => client.seen.includes(published));
    const stalls = (await (await fetch(`${leader.url}/websocket/metrics`)).text()).match(/^vedfolnir_disk_stalls_total (\d+)$/m);
    assert.ok(Number(stalls?.[1]) >= 1, `vedfolnir_disk_stalls_total is ${stalls?.[1]}`);

    rmSync(hang(leader));
    await leader.ready();
    const late = await connect('late', leader.url);
    await late.join('room');
    await publish();
    await late.received(1);
    await until('the client has seen the last message', () => client.seen.includes(published));
    assert.deepEqual(client.seen, Array.from({ length: published }, (_, index) => index + 1));
    assert.ok(client.connects.slice(1).every(({ recovered }) => recovered), 'the client was not recovered');
    assert.ok(leader.alive, leader.tail());
  });
});

describe('a full disk', () => {
  for (const role of ['a follower', 'the leader']) {
    test(`of ${role}: it stops, its clients resume elsewhere, with room again it catches up`, { timeout: 240_000 }, async (t) => {
      const cluster = await Cluster.plan(3);
      t.after(() => cluster.stop());
      const [victim, ...others] = cluster.nodes;
      const disk = await smallDisk(t, victim.dataDir, '40m');
      if (disk === null) return;
      victim.prefix = disk.prefix;
      for (const node of cluster.nodes) node.spawn();
      await cluster.ready();
      // Whoever leads is restarted until the role is as wanted: leadership goes to one of the other two.
      for (;;) {
        const leader = await cluster.leader();
        if ((leader === victim) === (role === 'the leader')) break;
        await leader.kill('SIGTERM');
        await leader.restart();
      }
      const client = await connect('client', [victim.url, others[0].url, others[1].url]);
      await client.join('room');
      const publisher = await connect('publisher', [others[0].url, others[1].url]);
      let published = 0;
      await until(`${victim.name} ends`, async () => {
        await publisher.publish('room', { id: (published += 1), filler: FILLER });
        return !victim.alive;
      }, { every: 0, within: 120_000 });
      assert.notEqual(victim.exit.code, 0);
      assert.notEqual(victim.exit.code, null, `ended by ${victim.exit.signal}`);
      assert.doesNotMatch(victim.output(), /panicked/);
      const word = lastWord(victim);
      assert.match(word ?? '', /No space left on device/, victim.tail());
      assert.ok(word.includes(victim.dataDir), word);

      // Nothing else is disturbed, nothing is lost.
      await publisher.publish('room', { id: (published += 1) });
      await client.reconnected();
      assert.equal(client.last.recovered, true);
      await until('the client has seen the last message', () => client.seen.includes(published));
      assert.deepEqual(client.seen, Array.from({ length: published }, (_, index) => index + 1));
      assert.equal(publisher.connects.length, 1, 'a client of another node lost its connection');

      // Full to the last byte, also for what a recovery may free: the same line. With room again: a member as before.
      await disk.run('cat /dev/zero > rest || true');
      victim.spawn();
      await until(`${victim.name} ends again`, () => !victim.alive);
      assert.match(lastWord(victim) ?? '', /No space left on device/, victim.tail());
      await disk.run('rm rest');
      await disk.resize('1g');
      await victim.restart();
      const late = await connect('late', victim.url);
      await late.join('room');
      await publisher.publish('room', { id: 'last' });
      await late.received(1);
      await until('the client has seen the last message', () => client.seen.includes('last'));
    });
  }

  test('before the first start: refused, with the directory and the reason', async (t) => {
    const directory = temporaryDirectory();
    const node = planNode('node-1', directory, await portsOfNode());
    const disk = await smallDisk(t, node.dataDir, '8m');
    if (disk === null) return;
    await disk.run('cat /dev/zero > full || true');
    node.prefix = disk.prefix;
    node.spawn();
    t.after(() => node.kill());
    await until('the node ends', () => !node.alive);
    assert.notEqual(node.exit.code, 0);
    const word = lastWord(node) ?? '';
    assert.match(word, /No space left on device/, node.tail());
    assert.ok(word.includes(node.dataDir), word);
  });
});
