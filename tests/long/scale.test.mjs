// Three nodes with a thousand clients each: everybody gets everything once and in one order, everybody is counted, and a node that is
// killed under load costs its own clients their connection and nobody anything else. `tests/run.sh --long scale`, with a release.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { atEnd } from '../support/cleanup.mjs';
import { closeClients, connect, MESSAGE } from '../support/client.mjs';
import { Cluster } from '../support/cluster.mjs';
import { openSocket } from '../support/doors.mjs';
import { until } from '../support/wait.mjs';

const CLIENTS = 1_000;
const AT_ONCE = 50;
const ROOM = 'everybody';
const EACH = 20;

/** A client that only listens: it answers pings, and does not come back. */
class Listener {
  ids = [];

  static async open(node) {
    const listener = new Listener();
    listener.socket = await openSocket(node.url);
    listener.socket.ws.on('message', (data, isBinary) => {
      const packet = isBinary ? '' : String(data);
      if (packet.startsWith(`42["${MESSAGE}"`)) listener.ids.push(JSON.parse(packet.slice(2))[1].id);
    });
    listener.socket.send(`420["join",${JSON.stringify(ROOM)}]`);
    await listener.socket.take((packet) => packet.startsWith?.('430['), 'the answer to join');
    return listener;
  }

  get isGone() {
    return this.socket.closed !== null;
  }
}

async function listeners(node) {
  const open = [];
  for (let done = 0; done < CLIENTS; done += AT_ONCE) {
    open.push(...(await Promise.all(Array.from({ length: AT_ONCE }, () => Listener.open(node)))));
  }
  return open;
}

/** Publishes one after the other until it is told to stop: the ids that were acknowledged. */
function publishes(client) {
  let going = true;
  const acknowledged = [];
  const ended = (async () => {
    for (let number = 0; going; number += 1) {
      const id = `${client.name} ${number}`;
      try {
        await client.publish(ROOM, { id });
        acknowledged.push(id);
      } catch {
        // It may be seen or not.
      }
    }
  })();
  return { acknowledged, stop: async () => { going = false; await ended; } };
}

describe('three nodes', { timeout: 600_000 }, () => {
  let cluster;
  /** By node. */
  const crowds = new Map();
  const everybody = () => [...crowds.values()].flat().filter(({ isGone }) => !isGone);
  /** Everybody has seen these, nobody anything twice, and all of them in the same order. */
  const assertSeen = async (ids) => {
    for (const listener of everybody()) {
      const seen = await until('a listener has seen everything', () => {
        const own = new Set(listener.ids);
        return ids.every((id) => own.has(id)) && own;
      });
      assert.equal(listener.ids.length, seen.size, 'something was seen twice');
    }
    const [one, ...others] = everybody();
    for (const other of others) assert.deepEqual(other.ids.slice(0, one.ids.length), one.ids.slice(0, other.ids.length));
  };

  before(async () => {
    cluster = await Cluster.start(3, { env: { WEBSOCKET_RECOVERY_WINDOW: '20s' } });
    atEnd(() => cluster.stop());
    atEnd(closeClients);
    for (const node of cluster.nodes) crowds.set(node, await listeners(node));
  });

  test('3,000 clients: what is sent on one reaches those of all once, in the order of its sender, and all are counted', async () => {
    const views = await Promise.all(cluster.nodes.map((node) => node.status()));
    assert.deepEqual(views.map(({ connections }) => connections), cluster.nodes.map(() => CLIENTS));
    assert.deepEqual(views.map((view) => view.sessions_connected), cluster.nodes.map(() => 3 * CLIENTS));
    const publishers = await Promise.all(cluster.nodes.map((node) => connect(node.name, node.url)));
    const ids = await Promise.all(publishers.map(async (publisher) => {
      const own = Array.from({ length: EACH }, (_, number) => `${publisher.name}:${number}`);
      for (const id of own) await publisher.publish(ROOM, { id });
      return own;
    }));
    await assertSeen(ids.flat());
    for (const own of ids) assert.deepEqual(everybody()[0].ids.filter((id) => own.includes(id)), own);
    for (const publisher of publishers) publisher.close();
  });

  for (const role of ['a follower', 'the leader']) {
    test(`kill -9 of ${role} under load: nothing acknowledged is lost, clients of the others notice nothing, and its own are counted no more`, async (t) => {
      const leader = await cluster.leader();
      const victim = role === 'the leader' ? leader : cluster.alive.find((node) => node !== leader && crowds.get(node).length > 0);
      const others = cluster.alive.filter((node) => node !== victim);
      const clients = await Promise.all(others.map((node) => connect(`${role} ${node.name}`, node.url)));
      const published = clients.map(publishes);
      await until('it flows', () => published.every(({ acknowledged }) => acknowledged.length > EACH));
      const bystanders = others.flatMap((node) => crowds.get(node));
      await victim.kill('SIGKILL');
      const killed = performance.now();
      const counts = published.map(({ acknowledged }) => acknowledged.length);
      await until('it flows again', () => published.every(({ acknowledged }, index) => acknowledged.length > counts[index] + 1), { every: 5 });
      t.diagnostic(`publishes of the other nodes' clients were acknowledged again ${Math.round(performance.now() - killed)} ms after the kill`);
      for (const each of published) await each.stop();
      await assertSeen(published.flatMap(({ acknowledged }) => acknowledged));
      assert.equal(bystanders.filter(({ isGone }) => isGone).length, 0, 'clients of other nodes lost their connections');
      assert.deepEqual(clients.map(({ disconnects }) => disconnects.length), clients.map(() => 0));
      for (const client of clients) client.close();

      assert.ok(crowds.get(victim).every(({ isGone }) => isGone), 'a dead node has connections');
      crowds.set(victim, []);
      for (const node of others) {
        await until(`${node.name} counts them no more`, async () => {
          const view = await node.status();
          return view.sessions_connected === bystanders.length && view.sessions_disconnected === 0;
        }, { within: 120_000 });
      }
      await victim.restart();
    });
  }
});
