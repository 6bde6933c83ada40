// A stock Socket.IO client, watched: every connect, disconnect and message it reports is written down.

import { io } from 'socket.io-client';

import { until } from './wait.mjs';

/** The event that tests publish: (message, offset). */
export const MESSAGE = 'm';
/** An answer that takes longer counts as none; longer than an election, a restart, the server's own bound. */
export const ACK_MS_MAX = 30_000;

const all = new Set();

/** Closes every client that is still open. */
export function closeClients() {
  for (const client of all) client.close();
}

export class Client {
  connects = [];
  disconnects = [];
  errors = [];
  /** Every MESSAGE: { message, offset, extra, connection }. */
  messages = [];
  /** 'connect' | 'disconnect' | 'message', in the order in which the application saw them. */
  story = [];
  rooms = new Set();
  #next = 0;

  /** `urls`: where to connect, one after the other at every reconnection. */
  constructor(name, urls, options = {}) {
    this.name = name;
    this.urls = [urls].flat();
    this.socket = io(this.urls[0], {
      forceNew: true,
      transports: ['websocket'],
      reconnectionDelay: 20,
      reconnectionDelayMax: 250,
      ...options,
    });
    all.add(this);
    this.socket.io.on('reconnect_attempt', () => {
      this.#next += 1;
      this.socket.io.uri = this.url;
    });
    this.socket.on('connect', () => {
      this.connects.push({ recovered: this.socket.recovered, id: this.socket.id, at: performance.now(), url: this.url });
      this.story.push('connect');
    });
    this.socket.on('disconnect', (reason) => {
      this.disconnects.push({ reason, at: performance.now() });
      this.story.push('disconnect');
    });
    this.socket.on('connect_error', (error) => this.errors.push(error));
    this.socket.on(MESSAGE, (message, offset, ...extra) => {
      this.messages.push({ message, offset, extra, connection: this.connects.length });
      this.story.push('message');
    });
  }

  /** Where the current or next connection goes. */
  get url() {
    return this.urls[this.#next % this.urls.length];
  }

  get id() {
    return this.socket.id;
  }

  /** The last connect. */
  get last() {
    return this.connects.at(-1);
  }

  /** Ids of the messages seen, for the oracle. */
  get seen() {
    return this.messages.map(({ message }) => message.id);
  }

  /** Resolves with connect number `count` (1 is the first). */
  async connected(count = 1, within) {
    await until(
      () => `${this.name} connected ${count} times (it did ${this.connects.length} times; last error: ${this.errors.at(-1)?.message})`,
      () => this.connects.length >= count,
      { within },
    );
    return this.connects[count - 1];
  }

  async reconnected(within) {
    return this.connected(2, within);
  }

  async disconnected(count = 1) {
    await until(`${this.name} lost its connection ${count} times`, () => this.disconnects.length >= count);
    return this.disconnects[count - 1];
  }

  /** Emits and resolves with the acknowledgement's arguments. */
  ask(event, ...args) {
    return new Promise((resolve, reject) => {
      this.socket.timeout(ACK_MS_MAX).emit(event, ...args, (error, ...answer) => (error ? reject(error) : resolve(answer)));
    });
  }

  /** A verb of the relay: its answer, or the error it answered with. */
  async call(event, ...args) {
    const [answer] = await this.ask(event, ...args);
    if (answer?.error) throw Object.assign(new Error(`${event}: ${answer.error.message}`), { code: answer.error.code });
    return answer;
  }

  async join(room) {
    await this.call('join', room);
    this.rooms.add(room);
  }

  publish(room, message) {
    return this.call('publish', room, MESSAGE, message);
  }

  async received(count, within) {
    await until(
      () => `${this.name} saw ${count} messages (it saw ${this.messages.length})`,
      () => this.messages.length >= count,
      { within },
    );
    return this.messages;
  }

  /** What a lost network does to the client: its own engine ends the transport. */
  drop() {
    this.socket.io.engine.close();
  }

  close() {
    all.delete(this);
    this.socket.disconnect();
  }
}

/** A client that is connected already. */
export async function connect(name, urls, options) {
  const client = new Client(name, urls, options);
  await client.connected();
  return client;
}
