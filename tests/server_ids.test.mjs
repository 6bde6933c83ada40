// The name that a node is given: its own over a restart, and nobody else's in its cluster.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import './support/cleanup.mjs';
import { Cluster, run } from './support/cluster.mjs';
import { until } from './support/wait.mjs';

const members = async (node) => JSON.parse((await run(['members', '--json', '--addr', node.adminUrl])).stdout).members;
const serverId = async (node) => (await node.health()).body.server_id;

test('a second node under a name that is taken does not start and is no member; its holder removed, it comes in', { timeout: 180_000 }, async (t) => {
  const cluster = await Cluster.plan(3);
  t.after(() => cluster.stop());
  const named = (node, name) => { node.env = { ...node.env, WEBSOCKET_SERVER_ID: name }; };
  cluster.nodes.forEach((node, index) => named(node, `web-${index + 1}`));
  for (const node of cluster.nodes) node.spawn();
  await cluster.ready();
  assert.deepEqual(await Promise.all(cluster.nodes.map(serverId)), ['web-1', 'web-2', 'web-3']);

  const [holder] = await cluster.followers();
  const name = await serverId(holder);
  const id = (await holder.status()).node_id;
  await holder.kill();
  await holder.restart();
  assert.equal(await serverId(holder), name, 'a restart keeps it');

  const newcomer = await cluster.addition();
  named(newcomer, name);
  const refused = async (pattern) => {
    newcomer.spawn();
    assert.deepEqual(await newcomer.gone, { code: 1, signal: null }, newcomer.tail());
    const said = newcomer.output().split('\n').filter((line) => line.startsWith('vedfolnir: '));
    assert.equal(said.length, 1, newcomer.tail());
    assert.match(said[0], pattern);
  };
  await refused(new RegExp(`--server-id \\(WEBSOCKET_SERVER_ID\\) = "${name}" is the name of node ${id} at ${holder.clusterAddr} already: give this node a name of its own`));
  assert.equal((await members(cluster.nodes[0])).length, 3);

  const leader = await cluster.leader();
  await holder.kill();
  await until('the leader has seen the death', async () => !(await members(leader)).find((member) => member.id === id).live);
  await refused(new RegExp(`which is down, already: .* run \`vedfolnir remove ${id}\` first`));
  await until('it may be removed', async () => (await run(['remove', id, '--addr', leader.adminUrl])).code === 0);
  await newcomer.restart();
  assert.equal(await serverId(newcomer), name);
});
