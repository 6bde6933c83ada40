// Official Socket.IO clients that listen, for the harness: their options come as the last argument, what they see goes to standard
// output, one JSON object a line, with the monotonic clock's nanoseconds. They go when standard input ends.

import { createRequire } from 'node:module';

const plan = JSON.parse(process.argv.at(-1));
const { io } = createRequire(`${plan.modules}/`)('socket.io-client');

const say = (index, kind, more = {}) => process.stdout.write(`${JSON.stringify({ i: index, k: kind, at: Number(process.hrtime.bigint()), ...more })}\n`);
const sockets = plan.clients.map((client, index) => {
  const socket = io(client.url, { forceNew: true, transports: client.transports, ...client.options });
  let began = process.hrtime.bigint();
  let joined = false;
  const join = (room) => socket.timeout(5000).emit('join', `${client.prefix}${room}`, (error, answer) => {
    if (error || answer?.error) setTimeout(join, 100, room);
    else say(index, 'j', { room });
  });
  socket.io.on('reconnect_attempt', () => { began = process.hrtime.bigint(); });
  socket.on('connect', () => {
    say(index, 'c', { began: Number(began), recovered: socket.recovered, sid: socket.id });
    if (socket.recovered && joined) return;
    joined = true;
    client.rooms.forEach(join);
  });
  socket.on('disconnect', (reason) => say(index, 'd', { reason }));
  socket.on('m', (publisher, sequence) => say(index, 'm', { p: publisher, s: sequence }));
  socket.on('f', (publisher, sequence, room) => say(index, 'f', { p: publisher, s: sequence, room }));
  return socket;
});

process.stdin.resume();
process.stdin.on('end', () => {
  for (const socket of sockets) socket.disconnect();
  process.exit(0);
});
