// What users and an administrator of examples/flask do, and what they see: flask_story.mjs HTTP_URL SOCKET_URL
//
// Prints what each of them saw, as JSON. It knows nothing about which of the two servers it talks to.

import { io } from 'socket.io-client';

import { until } from './wait.mjs';

const [, , site, sockets] = process.argv;
const transcript = {};
const open = [];

async function cookieOf(name) {
  const response = await fetch(`${site}/login`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name }) });
  return response.headers.getSetCookie()[0].split(';')[0];
}

/** A client that writes down what comes. */
function join(who, namespace, cookie, options = {}) {
  const saw = [];
  transcript[`${who} in ${namespace}`] = saw;
  const socket = io(sockets + namespace, { forceNew: true, reconnection: false, extraHeaders: cookie ? { Cookie: cookie } : {}, ...options });
  open.push(socket);
  socket.on('connect', () => saw.push('connected'));
  socket.on('connect_error', ({ message, data }) => saw.push(['refused', message, data ?? null]));
  socket.on('disconnect', (reason) => saw.push(['disconnected', reason]));
  for (const event of ['progress', 'watching', 'announcement', 'left']) socket.on(event, (value) => saw.push([event, value]));
  socket.on('said', ({ by, text }) => saw.push(['said', by, text]));
  return {
    socket,
    /** Waits for the next line. */
    next: (lines = 1) => {
      const due = (socket.due = (socket.due ?? 0) + lines);
      return until(() => `${who} has seen ${due} things; so far ${JSON.stringify(saw)}`, () => saw.length >= due, { within: 40_000, every: 5 });
    },
    ask: (event, ...args) =>
      new Promise((resolve) => {
        socket.emit(event, ...args, (...answer) => {
          saw.push(['answered', ...answer]);
          resolve();
        });
      }),
  };
}

const [ada, bob, root] = await Promise.all(['ada', 'bob', 'root'].map(cookieOf));
const stranger = join('a stranger', '/user');
await stranger.next();
const nosy = join('ada', '/admin', ada);
await nosy.next();
const admin = join('root', '/admin', root);
await admin.next();
const first = join('ada', '/user', ada);
await first.next();
const second = join('bob', '/user', bob, { transports: ['websocket'] });
await second.next();

const start = (cookie) => fetch(`${site}/tasks`, { method: 'POST', headers: { 'Content-Type': 'application/json', Cookie: cookie }, body: '{"steps":4}' });
transcript['a task without a login'] = (await start('')).status;
const started = await (await start(ada)).json();
const { task } = started;
transcript['a task'] = Object.keys(started);
await first.next(4);
await admin.next(4);
await first.ask('watch', task);
await first.next(2);
await second.ask('watch', task);
await second.next(2);
await second.ask('say', task, 'well done');
await second.next();
await first.next();
await admin.ask('announce', 'tea');
await admin.next();
await first.next();
await second.next();
second.socket.disconnect();
await second.next();
await admin.next();

for (const socket of open) socket.disconnect();
// Which number a task has depends on what was done before.
process.stdout.write(JSON.stringify(transcript, null, 1).replaceAll(task, 'the task'));
