// How each node feels, as any node tells of all: load, memory, answers, errors, clients.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Cluster, getJson, run } from './support/cluster.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

test('every node tells the figures of all, and says nothing for one that is gone', async (t) => {
  const cluster = await Cluster.start(3);
  t.after(() => cluster.stop());
  // The leader: what is asked while it is gone must be answered as well.
  const loaded = await cluster.leader();
  const [asked, third] = await cluster.followers();
  const ids = new Map(await Promise.all(cluster.nodes.map(async (node) => [node, (await node.status()).node_id])));
  const vitalsOf = async (node, by = asked) => {
    const { body } = await getJson(`${by.adminUrl}/members`);
    return body.members.find(({ id }) => id === ids.get(node)).vitals;
  };

  const clients = await Promise.all([1, 2, 3].map((number) => connect(`client ${number}`, loaded.url)));
  let going = true;
  const traffic = (async () => {
    while (going) await Promise.all(clients.map((client) => client.ask('echo', 1)));
  })();
  const busy = await until('the loaded node has clients, answers and a load', async () => {
    const vitals = await vitalsOf(loaded);
    return vitals?.connections === 3 && vitals.response_ms > 0 && vitals.cpu_percent > 0 && vitals;
  });
  assert.equal(busy.error_rate, 0);
  const rss = Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${loaded.pid}/status`, 'utf8'))[1]) * 1024;
  assert.ok(Math.abs(busy.memory_bytes - rss) / rss < 0.5, `${busy.memory_bytes} of ${rss}`);
  going = false;
  await traffic;

  // Requests that are none of the protocol are half of what happens, or all of it.
  let failing = true;
  const failures = (async () => {
    while (failing) await fetch(`${loaded.url}/socket.io/?EIO=3&transport=polling`);
  })();
  await until('its errors are seen from elsewhere', async () => (await vitalsOf(loaded))?.error_rate > 0);
  failing = false;
  await failures;
  assert.equal((await vitalsOf(asked, loaded)).connections, 0);

  const { stdout } = await run(['members', '--addr', asked.adminUrl]);
  assert.match(stdout.split('\n')[0], /CPU +MEMORY +RESPONSE +ERRORS +CLIENTS/);
  const row = stdout.split('\n').find((line) => line.trim().startsWith(ids.get(loaded)));
  assert.match(row, /\d+ % +\d+ MB .* 3\s*$/, row);

  await loaded.kill();
  assert.equal(await vitalsOf(loaded), null);
  assert.ok(await vitalsOf(third), 'the others are told all the same');
});
