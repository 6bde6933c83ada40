// A full disk under a running node: it stops with one clear line, nobody else notices, nothing acknowledged is lost.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Cluster, planNode, portsOfNode, temporaryDirectory } from './support/cluster.mjs';
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
