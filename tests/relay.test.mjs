// The relay application: rooms, durable and volatile publishing, its answers, its errors, one client's order.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { Cluster } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect, MESSAGE } from './support/client.mjs';
import { contradiction } from './support/oracle.mjs';
import { until } from './support/wait.mjs';

let cluster;
before(async () => {
  cluster = await Cluster.start(3);
  atEnd(() => cluster.stop());
  atEnd(closeClients);
});

let count = 0;
/** One client on each node, and a room of the test's own. */
async function three() {
  count += 1;
  const clients = await Promise.all(cluster.urls.map((url, index) => connect(`client ${index}`, url)));
  return { clients, room: `room ${count}` };
}

test('a publish reaches the room on every node, and nobody outside it', async () => {
  const { clients: [a, b, c], room } = await three();
  await a.join(room);
  await b.join(room);
  await c.publish(room, { id: 1 });
  await c.join(room);
  await b.call('leave', room);
  await a.publish(room, { id: 2 });
  await a.received(2);
  await c.received(1);
  assert.deepEqual(a.seen, [1, 2]);
  assert.deepEqual(c.seen, [2]);
  await b.join(room);
  await a.publish(room, { id: 3 });
  await b.received(2);
  assert.deepEqual(b.seen, [1, 3]);
});

test('rooms() is the list of rooms, kept by the node and the cluster alike', async () => {
  const { clients: [a], room } = await three();
  for (const name of [room, `${room} ünïcödé`, room]) await a.join(name);
  const rooms = await a.call('rooms');
  assert.ok(rooms.includes(room) && rooms.includes(`${room} ünïcödé`), JSON.stringify(rooms));
  assert.equal(new Set(rooms).size, rooms.length, 'joining twice is joining once');
  await a.call('leave', room);
  await a.call('leave', 'never joined');
  assert.ok(!(await a.call('rooms')).includes(room));
});

test('publish is answered with an offset of its own', async () => {
  const { clients: [a], room } = await three();
  const answers = await Promise.all([1, 2, 3].map((id) => a.publish(room, { id })));
  for (const { offset } of answers) assert.match(offset, /^\S+$/);
  assert.equal(new Set(answers.map(({ offset }) => offset)).size, 3);
});

test('all argument shapes arrive, binary among them, the offset behind them', async () => {
  const { clients: [a, b], room } = await three();
  await b.join(room);
  const shapes = [[], [null], ['last is a string'], [1, { deep: [Buffer.from([1]), { x: Buffer.from([2]) }] }, Buffer.alloc(70_000, 3)]];
  for (const args of shapes) await a.call('publish', room, MESSAGE, ...args);
  await b.received(shapes.length);
  b.messages.forEach(({ message, offset, extra }, index) => {
    const all = [message, offset, ...extra].slice(0, shapes[index].length + 1);
    assert.deepEqual(all.slice(0, -1), shapes[index]);
    assert.equal(typeof all.at(-1), 'string');
  });
});

test('a publisher in the room receives its own message once', async () => {
  const { clients: [a], room } = await three();
  await a.join(room);
  await a.publish(room, { id: 1 });
  await a.publish(room, { id: 2 });
  await a.received(2);
  assert.deepEqual(a.seen, [1, 2]);
});

test('500 pipelined publishes of one client are committed in the order it sent them', async () => {
  const { clients: [a, b, c], room } = await three();
  await Promise.all([a, b, c].map((client) => client.join(room)));
  const answers = await Promise.all(Array.from({ length: 500 }, (_, id) => a.publish(room, { id })));
  assert.equal(answers.length, 500);
  for (const client of [a, b, c]) {
    await client.received(500);
    assert.deepEqual(client.seen, Array.from({ length: 500 }, (_, id) => id));
  }
});

test('join, publish and leave of one client take effect in the order sent, without waiting', async () => {
  const { clients: [a], room } = await three();
  await Promise.all([
    a.publish(room, { id: 'before' }),
    a.call('join', room),
    a.publish(room, { id: 'inside' }),
    a.call('leave', room),
    a.publish(room, { id: 'after' }),
    a.call('join', room),
    a.publish(room, { id: 'end' }),
  ]);
  await until('the end', () => a.seen.includes('end'));
  assert.deepEqual(a.seen, ['inside', 'end']);
});

test('three clients publishing at once: every member sees one and the same order', async () => {
  const { clients, room } = await three();
  await Promise.all(clients.map((client) => client.join(room)));
  await Promise.all(clients.flatMap((client, number) =>
    Array.from({ length: 200 }, (_, index) => client.publish(room, { id: `${number}:${index}` }))));
  for (const client of clients) await client.received(600);
  for (const client of clients) assert.deepEqual(client.seen, clients[0].seen);
});

test('different rooms share one order', async () => {
  const { clients: [a, b, c], room } = await three();
  const rooms = [`${room} x`, `${room} y`, `${room} z`];
  await Promise.all([a.join(rooms[0]), a.join(rooms[1]), b.join(rooms[1]), b.join(rooms[2]), c.join(rooms[0]), c.join(rooms[2])]);
  await Promise.all([a, b, c].flatMap((client, number) =>
    Array.from({ length: 150 }, (_, index) => client.publish(rooms[index % 3], { id: `${number}:${index}` }))));
  for (const client of [a, b, c]) await client.received(300);
  assert.equal(contradiction([a.seen, b.seen, c.seen]), null);
});

test('publish_volatile reaches the room on every node while nothing is wrong', async () => {
  const { clients: [a, b, c], room } = await three();
  await Promise.all([b, c].map((client) => client.join(room)));
  // Volatile messages may be dropped: it is sent until it was seen.
  let id = 0;
  await until('both saw a volatile message', () => {
    a.socket.emit('publish_volatile', room, MESSAGE, { id: (id += 1) });
    return b.messages.length > 0 && c.messages.length > 0;
  }, { every: 50 });
  for (const { offset } of [...b.messages, ...c.messages]) assert.equal(typeof offset, 'string');
  const answer = await a.call('publish', room, MESSAGE, { id: 'durable' });
  assert.equal(typeof answer.offset, 'string');
  await until('the durable message came', () => b.seen.includes('durable') && c.seen.includes('durable'));
  for (const client of [b, c]) assert.equal(new Set(client.seen).size, client.seen.length, 'something came twice');
});

test('bad arguments are answered with an error that has a code and a message, and harm nothing', async () => {
  const { clients: [a], room } = await three();
  const bad = [
    ['join'], ['join', 7], ['join', null], ['join', { room }], ['join', ''], ['join', 'x'.repeat(100_000)],
    ['leave'], ['leave', 7],
    ['publish'], ['publish', room], ['publish', 7, 'event'], ['publish', room, 7], ['publish', room, { event: 1 }],
    ['publish', room, 'connect'], ['publish', room, 'disconnect'],
  ];
  for (const [event, ...args] of bad) {
    const [answer] = await a.ask(event, ...args);
    const what = `${event}(${JSON.stringify(args).slice(0, 60)}) was answered ${JSON.stringify(answer)}`;
    assert.equal(typeof answer?.error?.code, 'string', what);
    assert.equal(typeof answer.error.message, 'string', what);
  }
  assert.deepEqual(await a.ask('echo', 'alive'), ['alive']);
  assert.equal(a.disconnects.length, 0);
});

test('verbs without an ack work as well', async () => {
  const { clients: [a, b], room } = await three();
  b.socket.emit('join', room);
  await until('b is in the room', async () => (await b.call('rooms')).includes(room));
  a.socket.emit('publish', room, MESSAGE, { id: 1 });
  await b.received(1);
  assert.deepEqual(b.seen, [1]);
});

test('a message to the id of another client reaches only that client', async () => {
  const { clients: [a, b, c] } = await three();
  await a.publish(b.id, { id: 'for b' });
  await b.received(1);
  assert.deepEqual(b.seen, ['for b']);
  assert.equal(a.messages.length + c.messages.length, 0);
});
