// Connection state recovery with the stock client: every row of the list of ways to lose a connection.
//
// In each case the client comes back with `recovered === true`, the same id and rooms, and has seen every message
// exactly once and in the order of the log; or it is told honestly that it has a new session.

import assert from 'node:assert/strict';
import { cp, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { Cluster, run, startSingle } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { Client, closeClients, connect, MESSAGE } from './support/client.mjs';
import { metric } from './support/doors.mjs';
import { assertClean, audit, Ledger } from './support/oracle.mjs';
import { TcpProxy } from './support/tcp_proxy.mjs';
import { UdpLine } from './support/udp_line.mjs';
import { next, pace, until } from './support/wait.mjs';

let number = 0;
/** A name that no other test uses. */
const unique = (what) => `${what} ${(number += 1)}`;

/** Publishes ids `from`..`to` - 1 to the room, one after the other's acknowledgement. */
async function publishAll(publisher, room, from, to) {
  for (let id = from; id < to; id += 1) await publisher.publish(room, { id });
}

const ids = (to, from = 0) => Array.from({ length: to - from }, (_, index) => from + index);

/** The client is back with its session: same id, same rooms, `expected` seen once each and in order. */
async function assertRecovered(client, expected, { reconnections = 1 } = {}) {
  const last = await client.connected(1 + reconnections);
  assert.equal(last.recovered, true, `${client.name}: ${JSON.stringify(client.connects)}`);
  assert.equal(last.id, client.connects[0].id);
  await until(() => `${client.name} saw ${expected.at(-1)} (it saw ${JSON.stringify(client.seen.slice(-5))})`,
    () => expected.length === 0 || client.seen.includes(expected.at(-1)));
  assert.deepEqual(client.seen, expected);
  const rooms = await client.call('rooms');
  for (const room of client.rooms) assert.ok(rooms.includes(room), `${room} is missing in ${JSON.stringify(rooms)}`);
}

/** The client has a new session and knows it. */
async function assertNewSession(client) {
  const [first, second] = [client.connects[0], await client.reconnected()];
  assert.equal(second.recovered, false, 'the client believes in a recovery that was none');
  assert.notEqual(second.id, first.id);
}

describe('three nodes', () => {
  let cluster;
  before(async () => {
    cluster = await Cluster.start(3);
    atEnd(() => cluster.stop());
    atEnd(closeClients);
  });

  /** The urls, the given node's first. */
  const urlsFrom = (node) => {
    const index = cluster.indexOf(node);
    return [...cluster.urls.slice(index), ...cluster.urls.slice(0, index)];
  };

  test('the client closes its transport', async () => {
    const room = unique('room');
    const client = await connect('client', cluster.urls);
    const publisher = await connect('publisher', cluster.urls[1]);
    await client.join(room);
    await publishAll(publisher, room, 0, 3);
    await client.received(3);
    client.drop();
    await publishAll(publisher, room, 3, 10);
    await assertRecovered(client, ids(10));
  });

  test('a client that declines recovery gets no offset, and its session ends with its connection', async () => {
    const room = unique('room');
    const plain = await connect('plain', cluster.urls, { query: { recovery: 'false' } });
    const recovers = await connect('recovers', cluster.urls[0]);
    const publisher = await connect('publisher', cluster.urls[1]);
    for (const client of [plain, recovers]) await client.join(room);
    await publishAll(publisher, room, 0, 2);
    for (const client of [plain, recovers]) assert.deepEqual((await client.received(2)).map(({ message }) => message.id), [0, 1]);
    assert.ok(plain.messages.every(({ offset, extra }) => offset === undefined && extra.length === 0), JSON.stringify(plain.messages));
    assert.ok(recovers.messages.every(({ offset }) => typeof offset === 'string'), JSON.stringify(recovers.messages));
    await publisher.call('publish_volatile', room, MESSAGE, { id: 2 });
    assert.equal((await plain.received(3))[2].offset, undefined);
    const gone = plain.id;
    plain.drop();
    const again = await plain.reconnected();
    assert.ok(!again.recovered && again.id !== gone, JSON.stringify(plain.connects));
    await until('the session that nobody comes back to is over', async () => {
      const [members] = await publisher.ask('members', room, { linearizable: true });
      return !members.includes(gone) && members.includes(recovers.id);
    });
  });

  test('connect fires before what was missed', async () => {
    const room = unique('room');
    const proxy = await TcpProxy.listen(cluster.urls);
    const client = await connect('client', proxy.url);
    const publisher = await connect('publisher', cluster.urls[1]);
    await client.join(room);
    await publishAll(publisher, room, 0, 1);
    await client.received(1);
    proxy.refusing = true;
    proxy.cutAll();
    await client.disconnected();
    await publishAll(publisher, room, 1, 4);
    proxy.refusing = false;
    await assertRecovered(client, ids(4));
    assert.deepEqual(client.story, ['connect', 'message', 'disconnect', 'connect', 'message', 'message', 'message']);
    await proxy.close();
  });

  test('a client with default options: polling, upgrade, default reconnection delay', async () => {
    const room = unique('room');
    const leader = await cluster.leader();
    const victim = (await cluster.followers())[0];
    const client = new Client('client', urlsFrom(victim), {
      transports: ['polling', 'websocket'], reconnectionDelay: 1000, reconnectionDelayMax: 5000,
    });
    await client.connected();
    await until('the upgrade', () => client.socket.io.engine.transport.name === 'websocket');
    const publisher = await connect('publisher', leader.url);
    await client.join(room);
    await publishAll(publisher, room, 0, 3);
    await client.received(3);
    await victim.kill();
    await publishAll(publisher, room, 3, 10);
    await assertRecovered(client, ids(10));
    await victim.restart();
  });

  test('a client with polling only, kill -9 of its node', async () => {
    const room = unique('room');
    const leader = await cluster.leader();
    const victim = (await cluster.followers())[0];
    const client = new Client('client', urlsFrom(victim), { transports: ['polling'] });
    await client.connected();
    const publisher = await connect('publisher', leader.url);
    await client.join(room);
    await publishAll(publisher, room, 0, 3);
    await client.received(3);
    await victim.kill();
    await publishAll(publisher, room, 3, 10);
    await assertRecovered(client, ids(10));
    assert.equal(client.disconnects[0].reason, 'transport error');
    await victim.restart();
  });

  for (const [what, signal, choose] of [
    ['kill -9 of the client\'s node, a follower', 'SIGKILL', async () => (await cluster.followers())[0]],
    ['kill -9 of the client\'s node, the leader', 'SIGKILL', () => cluster.leader()],
    ['SIGTERM of the client\'s node, a follower', 'SIGTERM', async () => (await cluster.followers())[0]],
    ['SIGTERM of the client\'s node, the leader', 'SIGTERM', () => cluster.leader()],
  ]) {
    test(what, async (t) => {
      const room = unique('room');
      const victim = await choose();
      const survivor = cluster.nodes.find((node) => node !== victim);
      const client = await connect('client', urlsFrom(victim));
      const publisher = await connect('publisher', survivor.url);
      await client.join(room);
      await client.join(`${room}, the second`);
      await publishAll(publisher, room, 0, 5);
      await client.received(5);
      const at = performance.now();
      const ended = victim.kill(signal);
      // Publishing goes on over the fault, one acknowledged after the other.
      await publishAll(publisher, room, 5, 25);
      await assertRecovered(client, ids(25));
      assert.equal(client.disconnects.length, 1);
      assert.equal(client.disconnects[0].reason, 'transport close', 'the client was told to stay away');
      t.diagnostic(`resumed ${Math.round(client.last.at - at)} ms after ${signal}`);
      const exit = await ended;
      if (signal === 'SIGTERM') assert.deepEqual(exit, { code: 0, signal: null });
      await victim.restart();
    });
  }

  test('kill -9 of the leader, the client on a follower: it keeps its connection, publishes in flight are committed once', async () => {
    const room = unique('room');
    const leader = await cluster.leader();
    const [one, two] = await cluster.followers();
    const client = await connect('client', one.url);
    const publisher = await connect('publisher', two.url);
    await client.join(room);
    const answers = ids(200).map((id) => publisher.publish(room, { id }));
    await answers[20];
    await leader.kill();
    const more = ids(400, 200).map((id) => publisher.publish(room, { id }));
    await Promise.all([...answers, ...more]);
    await client.received(400);
    assert.deepEqual(client.seen, ids(400));
    assert.equal(client.disconnects.length + publisher.disconnects.length, 0);
    await leader.restart();
  });

  test('half-open: the client\'s TCP is reset, the node is not told; the old connection is fenced at once', async (t) => {
    const room = unique('room');
    const proxy = await TcpProxy.listen(cluster.urls);
    const client = await connect('client', proxy.url);
    const publisher = await connect('publisher', cluster.urls[2]);
    await client.join(room);
    await publishAll(publisher, room, 0, 3);
    await client.received(3);
    for (let reconnections = 1; reconnections <= 4; reconnections += 1) {
      // To the same node the first time, then to the others.
      proxy.prefer(reconnections - 1);
      const at = performance.now();
      assert.equal(proxy.halfOpenAll(), 1);
      await publishAll(publisher, room, 3 * reconnections, 3 * reconnections + 3);
      await assertRecovered(client, ids(3 * reconnections + 3), { reconnections });
      t.diagnostic(`resumed ${Math.round(client.last.at - at)} ms after the reset`);
    }
    await proxy.close();
  });

  test('a client that has received nothing yet', async () => {
    const room = unique('room');
    const victim = (await cluster.followers())[0];
    const client = await connect('client', urlsFrom(victim));
    const publisher = await connect('publisher', (await cluster.leader()).url);
    await client.join(room);
    await victim.kill();
    await publishAll(publisher, room, 0, 5);
    await assertRecovered(client, ids(5));
    await victim.restart();
  });

  test('the last event was volatile and ended in a string', async () => {
    const room = unique('room');
    const client = await connect('client', cluster.urls);
    const publisher = await connect('publisher', cluster.urls[1]);
    await client.join(room);
    await publishAll(publisher, room, 0, 2);
    await client.received(2);
    const volatile = [];
    client.socket.on('v', (...args) => volatile.push(args));
    await until('a volatile event came', () => {
      publisher.socket.emit('publish_volatile', room, 'v', 'a string at the end');
      return volatile.length > 0;
    }, { every: 50 });
    client.drop();
    await publishAll(publisher, room, 2, 5);
    await assertRecovered(client, ids(5));
  });

  test('two nodes broadcasting, 20 clients × 6 reconnections: nothing lost, nothing twice, one order', { timeout: 180_000 }, async () => {
    const room = unique('room');
    const ledger = new Ledger();
    const clients = await Promise.all(ids(20).map((index) =>
      connect(`client ${index}`, [...cluster.urls.slice(index % 3), ...cluster.urls.slice(0, index % 3)])));
    await Promise.all(clients.map((client) => client.join(room)));
    const publishers = await Promise.all([0, 1].map((index) => connect(`p${index}`, cluster.urls[index])));
    let over = false;
    const publishing = publishers.map(async (publisher) => {
      for (let sequence = 0; !over; sequence += 1) {
        const entry = ledger.invoke(publisher.name, sequence, room);
        await publisher.publish(room, { id: entry.id });
        entry.outcome = 'ok';
      }
    });
    await Promise.all(clients.map(async (client, index) => {
      for (let reconnection = 1; reconnection <= 6; reconnection += 1) {
        // Each at its own moment: after a few more messages, outside of a listener.
        await client.received(client.messages.length + 5 + ((index * 7 + reconnection * 3) % 20));
        client.drop();
        await client.connected(reconnection + 1);
      }
    }));
    over = true;
    await Promise.all(publishing);
    for (const publisher of publishers) {
      const entry = ledger.invoke(publisher.name, 1e9, room);
      await publisher.publish(room, { id: entry.id });
      entry.outcome = 'ok';
    }
    for (const client of clients) {
      await until(`${client.name} saw both ends`, () => publishers.every(({ name }) => client.seen.includes(`${name}:1000000000`)));
    }
    assertClean(audit(ledger, clients));
    for (const client of clients) assert.equal(client.connects.length, 7);
    for (const client of [...clients, ...publishers]) client.close();
  });

  test('the resuming node dies in the middle of its replay: nothing doubled, nothing lost', { timeout: 180_000 }, async () => {
    const room = unique('room');
    const leader = await cluster.leader();
    const [home, victim] = await cluster.followers();
    const order = [home, victim, leader];
    const proxy = await TcpProxy.listen(order.map(({ url }) => url));
    const client = await connect('client', proxy.url);
    const publisher = await connect('publisher', leader.url);
    await client.join(room);
    await publishAll(publisher, room, 0, 5);
    await client.received(5);
    proxy.refusing = true;
    proxy.cutAll();
    await client.disconnected();
    const filler = 'x'.repeat(2_000);
    await Promise.all(ids(1_000, 5).map((id) => publisher.publish(room, { id, filler })));
    proxy.prefer(1);
    proxy.holdAfter(400_000);
    const held = next(proxy, 'held', { what: 'the middle of the replay' });
    proxy.refusing = false;
    await client.connected(2);
    await held;
    await until('a part of the replay was seen', () => client.messages.length > 50);
    assert.ok(client.messages.length < 500, `the replay was not caught in its middle: ${client.messages.length}`);
    await victim.kill();
    proxy.prefer(2);
    proxy.release();
    proxy.cutAll();
    await client.connected(3);
    await assertRecovered(client, ids(1_000), { reconnections: 2 });
    await publishAll(publisher, room, 1_000, 1_003);
    await assertRecovered(client, ids(1_003), { reconnections: 2 });
    await victim.restart();
    await proxy.close();
  });

  test('all three nodes are killed at once and started again', { timeout: 180_000 }, async () => {
    const room = unique('room');
    const clients = await Promise.all(cluster.urls.map((url, index) => connect(`client ${index}`, [url, ...cluster.urls])));
    await Promise.all(clients.map((client) => client.join(room)));
    await publishAll(clients[0], room, 0, 10);
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    await Promise.all(clients.map((client) => client.disconnected()));
    await Promise.all(cluster.nodes.map((node) => node.restart()));
    await Promise.all(clients.map((client) => client.reconnected()));
    await publishAll(clients[1], room, 10, 20);
    for (const client of clients) await assertRecovered(client, ids(20));
  });

  test('all three nodes are killed once their logs are written over: what was acknowledged is there', { timeout: 180_000 }, async () => {
    const room = unique('room');
    const proxy = await TcpProxy.listen(cluster.urls);
    const client = await connect('client', proxy.url);
    const publisher = await connect('publisher', cluster.urls[1]);
    await client.join(room);
    // By their inodes: a file that had another name before, and is no smaller than then, is written over. One that was removed
    // gives its inode away as well, but what gets it begins empty.
    const files = new Map();
    const isWrittenOver = async (node) => {
      const directory = path.join(node.dataDir, 'db');
      for (const name of (await readdir(directory)).filter((file) => file.endsWith('.log'))) {
        const { ino, size } = await stat(path.join(directory, name)).catch(() => ({}));
        if (!ino) continue;
        const key = `${node.name} ${ino}`;
        const before = files.get(key);
        if (before && before.name !== name && before.size > 0 && size >= before.size) return true;
        files.set(key, { name, size });
      }
      return false;
    };
    const text = 'x'.repeat(60_000);
    let published = 0;
    const publishOf = (count) => Promise.all(Array.from({ length: count }, () => {
      published += 1;
      return publisher.publish(room, { id: published - 1, text });
    }));
    const waiting = new Set(cluster.nodes);
    while (waiting.size > 0) {
      assert.ok(published < 5_000, 'no log was written over');
      await publishOf(16);
      for (const node of waiting) if (await isWrittenOver(node)) waiting.delete(node);
    }
    await client.received(published);
    proxy.refusing = true;
    proxy.cutAll();
    await client.disconnected();
    await publishOf(40);
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    await Promise.all(cluster.nodes.map((node) => node.restart()));
    proxy.refusing = false;
    await assertRecovered(client, ids(published));
    await proxy.close();
  });

  test('a garbage offset: an honest new session', async () => {
    for (const garbage of ['garbage', '', 'AAAAAAAAAAAAAAAAAAAAAA', '\u0000', 'x'.repeat(5_000), '../../etc']) {
      const room = unique('room');
      const client = await connect('client', cluster.urls);
      await client.join(room);
      await publishAll(client, room, 0, 1);
      await client.received(1);
      client.socket._lastOffset = garbage;
      client.drop();
      await assertNewSession(client);
      assert.deepEqual(client.seen, [0]);
      client.close();
    }
  });

  test('an offset of the session with one character changed: an honest new session', async () => {
    const room = unique('room');
    const client = await connect('client', cluster.urls);
    await client.join(room);
    await publishAll(client, room, 0, 1);
    const [{ offset }] = await client.received(1);
    const middle = Math.floor(offset.length / 2);
    client.socket._lastOffset = offset.slice(0, middle) + (offset[middle] === 'A' ? 'B' : 'A') + offset.slice(middle + 1);
    client.drop();
    await assertNewSession(client);
  });

  test('an unknown pid: an honest new session', async () => {
    const client = await connect('client', cluster.urls);
    client.socket._pid = 'A'.repeat(client.socket._pid.length);
    client.drop();
    await assertNewSession(client);
  });

  test('an offset older than the session: clamped to the session\'s start', async () => {
    const room = unique('room');
    const elder = await connect('elder', cluster.urls[0]);
    await elder.join(room);
    await publishAll(elder, room, 0, 5);
    const [{ offset }] = await elder.received(5);
    const client = await connect('client', cluster.urls);
    await client.join(room);
    client.socket._lastOffset = offset;
    client.drop();
    await publishAll(elder, room, 5, 8);
    await assertRecovered(client, ids(8, 5));
  });

  test('rooms and membership count as they were when each message was committed', async () => {
    const room = unique('room');
    const proxy = await TcpProxy.listen(cluster.urls);
    const client = await connect('client', proxy.url);
    const publisher = await connect('publisher', cluster.urls[1]);
    await client.join(`${room} a`);
    await client.join(`${room} b`);
    // The client sees nothing more from here on: its commands still reach the node.
    proxy.holdAfter(0);
    await publisher.publish(`${room} a`, { id: 'a1' });
    client.socket.emit('leave', `${room} a`);
    // The leave is committed once a later command of the same client is: its own publish to b is seen by a witness.
    const witness = await connect('witness', cluster.urls[2]);
    await witness.join(`${room} b`);
    client.socket.emit('publish', `${room} b`, MESSAGE, { id: 'b1' });
    await witness.received(1);
    await publisher.publish(`${room} a`, { id: 'a2' });
    await publisher.publish(`${room} b`, { id: 'b2' });
    proxy.cutAll();
    proxy.release();
    client.rooms.delete(`${room} a`);
    await assertRecovered(client, ['a1', 'b1', 'b2']);
    assert.ok(!(await client.call('rooms')).includes(`${room} a`));
    await proxy.close();
  });

  test('io client disconnect ends the session for good', async () => {
    const client = await connect('client', cluster.urls[0]);
    const first = client.connects[0].id;
    client.socket.disconnect();
    client.socket.connect();
    const second = await client.reconnected();
    assert.equal(second.recovered, false);
    assert.notEqual(second.id, first);
  });

  test('the same session resumed by two connections at once has one owner', async () => {
    const room = unique('room');
    const client = await connect('client', cluster.urls[0]);
    const publisher = await connect('publisher', cluster.urls[2]);
    await client.join(room);
    await publishAll(publisher, room, 0, 1);
    await client.received(1);
    const twin = new Client('twin', cluster.urls[1], { autoConnect: false, reconnection: false });
    twin.socket._pid = client.socket._pid;
    twin.socket._lastOffset = client.socket._lastOffset;
    twin.socket.connect();
    await client.disconnected();
    assert.equal(client.disconnects[0].reason, 'transport close', 'fencing must not stop the client from coming back');
    // The client fences the twin in turn; the twin stays away.
    await client.reconnected();
    await twin.disconnected();
    await publishAll(publisher, room, 1, 4);
    await assertRecovered(client, ids(4));
    assert.equal(twin.last.id, client.last.id);
    assert.equal(twin.messages.length, 0, 'two owners delivered');
    twin.close();
  });
});

describe('a replica that is behind', () => {
  let cluster;
  let behind;
  let line;
  before(async () => {
    cluster = await Cluster.plan(3);
    behind = cluster.nodes[2];
    line = await UdpLine.before(behind.clusterAddr);
    atEnd(() => line.close());
    behind.args.push('--cluster-advertise', line.address);
    for (const node of cluster.nodes) node.spawn();
    await cluster.ready();
    atEnd(() => cluster.stop());
    atEnd(closeClients);
    await until('another one leads', async () => {
      if ((await cluster.leader()) !== behind) return true;
      await run(['transfer-leadership', '--addr', behind.adminUrl]);
      return false;
    });
  });

  /** Lets the client come to the node that is behind, and the others reach it once it has asked how far they are. */
  async function comeWhileBehind(client) {
    const refused = () => metric(behind, 'vedfolnir_resumes_total', { outcome: 'epoch_moved' });
    const rounds = () => metric(behind, 'vedfolnir_read_rounds_total');
    const [refusedBefore, before] = [await refused(), await rounds()];
    const connects = client.connects.length;
    client.urls = [behind.url];
    client.drop();
    // A node that does not ask has none to wait for: what it does instead is seen below.
    await until('it asks how far they are', async () => (await rounds()) > before, { within: 2_000 }).catch(() => {});
    line.release();
    const last = await client.connected(connects + 1);
    assert.equal(last.recovered, true, JSON.stringify(client.connects));
    assert.equal(last.id, client.connects[0].id);
    assert.equal(await refused(), refusedBefore, 'its only owner was refused the session');
  }

  test('it does not know yet that the session was opened: recovered', async () => {
    line.hold();
    await comeWhileBehind(await connect('newcomer', cluster.urls[0]));
  });

  test('it does not know yet that the session was resumed elsewhere: recovered', async () => {
    const mover = await connect('mover', cluster.urls);
    line.hold();
    mover.drop();
    await mover.reconnected();
    await comeWhileBehind(mover);
  });
});

describe('short windows', () => {
  let cluster;
  before(async () => {
    cluster = await Cluster.start(3, { options: ['--recovery-window', '3s', '--history-age', '4s'] });
    atEnd(() => cluster.stop());
  });

  const sessionsOf = async () => (await cluster.nodes[0].status()).sessions_disconnected;

  test('inside the window: recovered; when it has passed: an honest new session', async () => {
    const proxy = await TcpProxy.listen(cluster.urls);
    const client = await connect('client', proxy.url);
    client.drop();
    await client.reconnected();
    assert.equal(client.last.recovered, true);
    proxy.refusing = true;
    proxy.cutAll();
    await client.disconnected(2);
    await until('the session waits for its client', async () => (await sessionsOf()) === 1);
    await until('its window has passed', async () => (await sessionsOf()) === 0);
    proxy.refusing = false;
    const third = await client.connected(3);
    assert.equal(third.recovered, false);
    assert.notEqual(third.id, client.connects[0].id);
    await proxy.close();
    client.close();
  });

  test('idle for longer than the history is kept, nothing missed: recovered', async () => {
    const room = unique('room');
    const client = await connect('client', cluster.urls);
    const other = await connect('other', cluster.urls[1]);
    await client.join(room);
    await publishAll(other, room, 0, 1);
    await client.received(1);
    const began = (await cluster.nodes[0].status()).cluster_time_ms;
    // Other rooms' traffic goes on meanwhile, until the client's last offset is far below what is retained.
    await until('twice the history\'s age has passed', async () => {
      await other.publish('elsewhere', { id: 0 });
      return (await cluster.nodes[0].status()).cluster_time_ms > began + 9_000;
    }, { every: 100 });
    client.drop();
    await publishAll(other, room, 1, 3);
    await assertRecovered(client, ids(3));
  });

  test('the window stands still without a quorum', async () => {
    const room = unique('room');
    const client = await connect('client', cluster.urls);
    await client.join(room);
    await publishAll(client, room, 0, 1);
    await client.received(1);
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    await client.disconnected();
    await cluster.nodes[0].spawn();
    // Longer than the window and than the history's age; time is what this test is about.
    await pace(6_000);
    await Promise.all(cluster.nodes.slice(1).map((node) => node.restart()));
    await cluster.ready();
    await client.reconnected();
    await publishAll(client, room, 1, 3);
    await assertRecovered(client, ids(3));
  });
});

describe('offsets of elsewhere', () => {
  test('an offset of another cluster: an honest new session', async () => {
    const [one, two] = await Promise.all([startSingle(), startSingle()]);
    atEnd(() => Promise.all([one.kill(), two.kill()]));
    const stranger = await connect('stranger', two.url);
    await stranger.join('room');
    await publishAll(stranger, 'room', 0, 1);
    const [{ offset }] = await stranger.received(1);
    const client = await connect('client', one.url);
    await client.join('room');
    await publishAll(client, 'room', 0, 5);
    await client.received(5);
    client.socket._lastOffset = offset;
    client.drop();
    await assertNewSession(client);
    assert.deepEqual(client.seen, ids(5));
  });

  test('an offset of the future (the node\'s disk was set back): an honest new session', async () => {
    const node = await startSingle();
    atEnd(() => node.kill());
    const proxy = await TcpProxy.listen([node.url]);
    const client = await connect('client', proxy.url);
    await client.join('room');
    await publishAll(client, 'room', 0, 1);
    await client.received(1);
    await node.kill();
    const copy = `${node.dataDir}.copy`;
    await cp(node.dataDir, copy, { recursive: true, filter: (file) => !file.endsWith('.sock') });
    await node.restart();
    await client.reconnected();
    assert.equal(client.last.recovered, true);
    // One after the other: an entry of the log each, so that the last is far beyond the copy.
    await publishAll(client, 'room', 1, 300);
    await client.received(300);
    proxy.refusing = true;
    proxy.cutAll();
    await node.kill();
    await rm(node.dataDir, { recursive: true });
    await cp(copy, node.dataDir, { recursive: true });
    await node.restart();
    proxy.refusing = false;
    const third = await client.connected(3);
    assert.equal(third.recovered, false, 'what the client has seen is not in this log');
    assert.notEqual(third.id, client.connects[0].id);
    await proxy.close();
  });
});
