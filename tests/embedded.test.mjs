// Programs of examples/, which embed the server, with official clients.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { io } from 'socket.io-client';

import { atEnd } from './support/cleanup.mjs';
import { startExamples } from './support/examples.mjs';
import { next, until } from './support/wait.mjs';

/** More than may wait for their acks at once. */
const ACKS_AWAITED_MAX = 256;

/** An example as a node of its own, ready. */
const start = async (name, args = []) => (await startExamples(name, 1, { args }))[0];

const open = new Set();
atEnd(() => {
  for (const socket of open) socket.close();
});

/** A connected client. */
async function connect(url, options = {}) {
  const socket = io(url, { forceNew: true, transports: ['websocket'], reconnectionDelay: 20, reconnectionDelayMax: 100, ...options });
  open.add(socket);
  await next(socket, 'connect');
  return socket;
}

async function counted(node, outcome) {
  const page = await (await fetch(`${node.url}/websocket/metrics`)).text();
  return Number(new RegExp(`^vedfolnir_client_acks_total\\{outcome="${outcome}"\\} (\\d+)$`, 'm').exec(page)[1]);
}

let chat;
/** The same, with less patience. */
let hasty;
before(async () => {
  [chat, hasty] = await Promise.all([start('chat', ['--introduce-within', '60']), start('chat', ['--introduce-within', '0.2'])]);
});

for (const transport of ['polling', 'websocket']) {
  test(`chat: over ${transport} the server asks the client, and its answer reaches the room with its picture`, async () => {
    const options = { transports: [transport], upgrade: false };
    const [ada, ben] = await Promise.all([connect(chat.url, options), connect(chat.url, options)]);
    const room = `hall ${transport}`;
    const picture = Buffer.from([0, 1, 2, 255]);
    for (const [name, socket] of [['ada', ada], ['ben', ben]]) {
      socket.on('introduce', (...args) => {
        const answer = args.pop();
        assert.deepEqual(args, [room], 'no offset stands where the callback belongs');
        answer(name, picture);
      });
    }
    assert.equal(typeof (await ada.timeout(10_000).emitWithAck('enter', room)).offset, 'string');
    const heard = next(ada, 'entered');
    await ben.timeout(10_000).emitWithAck('enter', room);
    const [name, shown] = await heard;
    assert.deepEqual([name, Buffer.from(shown)], ['ben', picture]);
    const said = next(ben, 'said');
    await ada.timeout(10_000).emitWithAck('say', room, 'hello');
    assert.deepEqual((await said).slice(0, 2), [ada.id, 'hello']);
  });
}

test('chat: who does not answer in time is told so, and its late answer is nobody\'s', async () => {
  const socket = await connect(hasty.url);
  let answer;
  socket.on('introduce', (_, callback) => { answer = callback; });
  const { error } = await socket.timeout(10_000).emitWithAck('enter', 'late');
  assert.equal(error.code, 'ack_timed_out');
  assert.deepEqual([await counted(hasty, 'timed_out'), await counted(hasty, 'unexpected')], [1, 0]);
  answer('late', null);
  await until('the late answer has come', async () => (await counted(hasty, 'unexpected')) === 1);
  assert.equal((await socket.timeout(10_000).emitWithAck('say', 'late', 'x')).error.code, 'forbidden', 'the connection stands');
});

test('chat: an answer that was outstanding when the connection ended is lost with it, and never taken for another', async () => {
  const socket = await connect(chat.url);
  const [disconnected, unexpected] = [await counted(chat, 'disconnected'), await counted(chat, 'unexpected')];
  let answer;
  socket.on('introduce', (_, callback) => { answer ??= callback; });
  socket.emit('enter', 'cut');
  await until('the server asks', () => answer);
  const back = next(socket, 'connect');
  socket.io.engine.close();
  await back;
  assert.ok(socket.recovered);
  await until('the wait is over', async () => (await counted(chat, 'disconnected')) === disconnected + 1);
  const asked = next(socket, 'introduce');
  const entering = socket.timeout(10_000).emitWithAck('enter', 'cut');
  const [, second] = await asked;
  answer('the first time', null);
  await until('the answer to the lost question has come', async () => (await counted(chat, 'unexpected')) === unexpected + 1);
  const entered = next(socket, 'entered');
  second('the second time', null);
  assert.ok((await entering).offset);
  assert.equal((await entered)[0], 'the second time');
});

test('chat: more questions than may wait are refused, and those that wait do not keep their answers from being read', async () => {
  const socket = await connect(chat.url);
  const answers = [];
  const beyond = 20;
  let refused = 0;
  // All of them wait at once, longer than any handlers may that hold up their client.
  socket.on('introduce', (_, callback) => answers.push(callback));
  const entering = Array.from({ length: ACKS_AWAITED_MAX + beyond }, (_, index) =>
    socket.timeout(30_000).emitWithAck('enter', `crowd ${index % 4}`).then((reply) => {
      if (reply.error?.code === 'limit_exceeded') refused += 1;
      return reply;
    }));
  await until('the last ones are refused', () => refused === beyond && answers.length === ACKS_AWAITED_MAX);
  for (const answer of answers) answer('crowd', null);
  const replies = await Promise.all(entering);
  assert.equal(replies.filter(({ offset }) => offset).length, ACKS_AWAITED_MAX, JSON.stringify(replies.find(({ error }) => error && error.code !== 'limit_exceeded')));
});

test('chat: arguments that do not fit are answered by themselves, and name what is wrong', async () => {
  const socket = await connect(chat.url);
  const { error } = await socket.timeout(10_000).emitWithAck('say', 'hall', { not: 'a text' });
  assert.equal(error.code, 'bad_request');
  assert.match(error.message, /^say: argument 1 is not as expected: .*string/);
  assert.match((await socket.timeout(10_000).emitWithAck('say')).error.message, /argument 0 is missing/);
});

for (const [how, reason] of [['disconnect', 'client namespace disconnect'], ['engine', 'transport close']]) {
  test(`chat: a room hears once that somebody is gone, and why: ${reason}`, async () => {
    const [stays, goes] = await Promise.all([connect(chat.url), connect(chat.url, { reconnection: false })]);
    const room = `gone by ${how}`;
    for (const socket of [stays, goes]) {
      socket.on('introduce', (_, callback) => callback('somebody', null));
      await socket.timeout(10_000).emitWithAck('enter', room);
    }
    const heard = [];
    stays.on('gone', (sid, why) => heard.push([sid, why]));
    const sid = goes.id;
    if (how === 'engine') goes.io.engine.close();
    else goes.disconnect();
    await until('the room hears it', () => heard.length > 0);
    // What comes after it in the order would come after a second one, too.
    const said = next(stays, 'said');
    await stays.timeout(10_000).emitWithAck('say', room, 'still here?');
    await said;
    assert.deepEqual(heard, [[sid, reason]]);
  });
}

const conformance = (args) => start('conformance', args);
let plain;
const PING = ['--ping-interval', '300ms', '--ping-timeout', '200ms'];
before(async () => {
  plain = await conformance(PING);
});

for (const transport of ['polling', 'websocket']) {
  for (const namespace of ['/', '/custom']) {
    test(`conformance: ${namespace} over ${transport} says what it was told, binary too`, async () => {
      const auth = { token: 'abc', deep: [1, null] };
      const socket = io(plain.url + namespace, { forceNew: true, transports: [transport], upgrade: false, auth });
      open.add(socket);
      const told = next(socket, 'auth');
      await next(socket, 'connect');
      assert.deepEqual(await told, [auth]);
      const args = [1, 'two', { three: [Buffer.from([3]), null] }, Buffer.from([4, 5])];
      const back = next(socket, 'message-back');
      socket.emit('message', ...args);
      assert.deepEqual(await back, args);
      const acked = await new Promise((resolve) => { socket.emit('message-with-ack', ...args, (...answer) => resolve(answer)); });
      assert.deepEqual(acked, args);
      socket.emit('nobody handles this');
      assert.equal(await socket.timeout(10_000).emitWithAck('message-with-ack', 'still'), 'still');
    });
  }
}

test('conformance: its intervals and recovery are options', async () => {
  const text = await (await fetch(`${plain.url}/socket.io/?EIO=4&transport=polling`)).text();
  const { pingInterval, pingTimeout } = JSON.parse(text.slice(1));
  assert.deepEqual([pingInterval, pingTimeout], [300, 200]);
  const recovering = await conformance(['--recovery', 'on']);
  for (const [node, expected] of [[plain, false], [recovering, true]]) {
    const socket = await connect(node.url);
    const again = next(socket, 'connect');
    socket.io.engine.close();
    await again;
    assert.equal(socket.recovered ?? false, expected);
  }
});
