// Presence: who is in a room, asked of a node that has nothing to do with the members.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Cluster, getJson } from './support/cluster.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

/** members(room): { sids, count, disconnected }, by a linearizable read unless told otherwise. */
async function members(client, room, options = { linearizable: true }) {
  const [sids, count, rest] = await client.ask('members', room, options);
  if (sids?.error) throw Object.assign(new Error(sids.error.message), { code: sids.error.code });
  return { sids, count, disconnected: rest.disconnected };
}

async function metric(node, name) {
  const { text } = await getJson(`${node.url}/websocket/metrics`);
  const line = text.split('\n').find((line) => line.startsWith(`${name} `));
  return Number(line?.split(' ')[1]);
}

test('a linearizable read on another node sees a join as soon as it was acknowledged, 200 times', async () => {
  const cluster = await Cluster.start(3);
  atEnd(() => cluster.stop());
  const clients = await Promise.all(cluster.urls.map((url, index) => connect(`client ${index}`, url)));
  for (let round = 0; round < 200; round += 1) {
    const member = clients[round % 3];
    const reader = clients[(round + 1 + (round >> 1) % 2) % 3];
    const room = `room ${round}`;
    await member.join(room);
    const seen = await members(reader, room);
    assert.deepEqual(seen, { sids: [member.id], count: 1, disconnected: [] }, `round ${round}`);
    if (round % 4 === 0) {
      await member.call('leave', room);
      assert.deepEqual(await members(reader, room), { sids: [], count: 0, disconnected: [] }, `round ${round}`);
    }
  }
  // The member's own node shows it without asking anybody.
  await clients[0].join('local');
  assert.deepEqual(await members(clients[0], 'local', {}), { sids: [clients[0].id], count: 1, disconnected: [] });
  assert.deepEqual(await members(clients[0], 'nobody is here'), { sids: [], count: 0, disconnected: [] });

  // Operators see one session as the cluster has it, on any node, and that all nodes have the same.
  const asked = (node, question) => getJson(`${node.adminUrl}/session?linearizable=true&session=${question}`);
  const { body: session } = await asked(cluster.nodes[1], clients[0].id);
  assert.deepEqual([session.sid, session.namespace, session.connected, session.epoch], [clients[0].id, '/', true, 1]);
  assert.ok(session.rooms.includes('local') && session.recoverable_ms === null && session.user === null, JSON.stringify(session));
  assert.equal((await asked(cluster.nodes[2], 'nobody')).status, 404);
  assert.equal((await asked(cluster.nodes[2], `${clients[0].id}&namespace=/other`)).status, 404);
  const hashes = await until('all nodes are at one position', async () => {
    const views = await Promise.all(cluster.nodes.map((node) => getJson(`${node.adminUrl}/state-hash`)));
    return new Set(views.map(({ body }) => body.applied_index)).size === 1 && views.map(({ body }) => body);
  });
  assert.deepEqual(hashes[1], hashes[0]);
  assert.deepEqual(hashes[2], hashes[0]);
  assert.match(hashes[0].hash, /^[0-9a-f]{16}$/);

  // Many at once share rounds.
  const rounds = await metric(cluster.nodes[1], 'vedfolnir_read_rounds_total');
  await Promise.all(Array.from({ length: 50 }, () => members(clients[1], 'local')));
  assert.ok(await metric(cluster.nodes[1], 'vedfolnir_read_rounds_total') - rounds < 50, 'rounds are not shared');

  for (const args of [[], [7], [''], ['room', 'options'], ['room', { linearizable: 1 }]]) {
    const [answer] = await clients[0].ask('members', ...args);
    assert.equal(answer?.error?.code, 'bad_request', JSON.stringify(args));
  }
});

test('a member whose node was killed is shown as disconnected once the node is down, and gone after its window', async () => {
  const cluster = await Cluster.start(3, { options: ['--recovery-window', '3s', '--node-down-after', '2s'] });
  atEnd(() => cluster.stop());
  const victim = (await cluster.followers())[0];
  const [first, second] = cluster.nodes.filter((node) => node !== victim);
  const lost = await connect('lost', victim.url, { reconnection: false });
  const [stays, reader] = await Promise.all([connect('stays', first.url), connect('reader', second.url)]);
  const sid = lost.id;
  await lost.join('r');
  await stays.join('r');
  await victim.kill('SIGKILL');

  const seen = await until('the lost member is disconnected', async () => {
    const now = await members(reader, 'r');
    // Until it is gone it is a member, connected or not, and never anything else.
    assert.deepEqual([...now.sids].sort(), [sid, stays.id].sort());
    assert.equal(now.count, 2);
    return now.disconnected.length > 0 && now;
  });
  assert.deepEqual(seen.disconnected, [sid]);
  const gone = await until('the lost member is gone', async () => {
    const now = await members(reader, 'r');
    return now.count === 1 && now;
  });
  assert.deepEqual(gone, { sids: [stays.id], count: 1, disconnected: [] });
  assert.deepEqual(await members(stays, 'r'), gone, 'on every node');
});

test('without a quorum a linearizable read says so, and a local one still answers', async () => {
  const cluster = await Cluster.start(3, { options: ['--isolation-after', '60s'] });
  atEnd(() => cluster.stop());
  const [survivor, ...others] = cluster.nodes;
  const client = await connect('client', survivor.url);
  await client.join('r');
  await Promise.all(others.map((node) => node.kill('SIGKILL')));
  assert.deepEqual(await members(client, 'r', {}), { sids: [client.id], count: 1, disconnected: [] });
  await assert.rejects(members(client, 'r'), { code: 'no_quorum' });
});
