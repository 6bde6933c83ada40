// Engine.IO by hand: polling with fetch, WebSocket with `ws`, packets as plain text.

import { once } from 'node:events';

import WebSocket from 'ws';

import { InVain, until, within } from './wait.mjs';

const SEPARATOR = '\x1e';
const endpoint = (url, query) => `${url}/socket.io/?${new URLSearchParams(query)}`;

/** One HTTP request to the Engine.IO endpoint: { status, headers, text, json }. */
export async function request(url, query, init = {}) {
  const response = await fetch(endpoint(url, query), { signal: AbortSignal.timeout(30_000), ...init });
  const text = await response.text();
  let json = null;
  try {
    json = JSON.parse(text);
  } catch {
    // Not an error answer.
  }
  return { status: response.status, headers: response.headers, text, json };
}

/** A polling session. */
export class Polling {
  constructor(url) {
    this.url = url;
  }

  static async open(url, { connect = true } = {}) {
    const polling = new Polling(url);
    const { status, text } = await request(url, { EIO: 4, transport: 'polling' });
    if (status !== 200) throw new Error(`the handshake was answered ${status} ${text}`);
    polling.handshake = JSON.parse(text.slice(1));
    polling.sid = polling.handshake.sid;
    if (connect) {
      await polling.send('40');
      [polling.connectPacket] = await polling.poll();
    }
    return polling;
  }

  get query() {
    return { EIO: 4, transport: 'polling', sid: this.sid };
  }

  get() {
    return request(this.url, this.query);
  }

  post(body, headers = { 'content-type': 'text/plain;charset=UTF-8' }) {
    return request(this.url, this.query, { method: 'POST', body, headers });
  }

  /** One poll's packets. */
  async poll() {
    const { status, text } = await this.get();
    if (status !== 200) throw new Error(`a poll was answered ${status} ${text}`);
    return text.split(SEPARATOR);
  }

  /** Polls until `count` packets other than pings have come. */
  async packets(count) {
    const packets = [];
    while (packets.length < count) packets.push(...(await this.poll()).filter((packet) => packet !== '2'));
    return packets;
  }

  async send(...packets) {
    const answer = await this.post(packets.join(SEPARATOR));
    if (answer.status !== 200) throw new Error(`a post was answered ${answer.status} ${answer.text}`);
    return answer;
  }

  /** Whether the session is gone: a poll is answered with "unknown sid", at once or after what was queued. */
  async isClosed() {
    for (let attempt = 0; attempt < 4; attempt += 1) {
      const { status, json } = await this.get();
      if (status === 400 && json?.code === 1) return true;
    }
    return false;
  }
}

/** A WebSocket that remembers what came. */
export class Socket {
  received = [];
  closed = null;

  /** `options` of `ws`, such as headers. */
  constructor(url, query = {}, options = {}) {
    this.ws = new WebSocket(endpoint(url.replace('http', 'ws'), { EIO: 4, transport: 'websocket', ...query }), options);
    this.ws.on('message', (data, isBinary) => {
      const packet = isBinary ? data : String(data);
      this.received.push(packet);
      // Alive: whatever closes this connection, it is not the ping timeout.
      if (packet === '2') this.ws.send('3');
    });
    this.ws.on('close', (code) => { this.closed = code; });
    this.ws.on('error', (error) => { this.error = error; });
    this.ws.on('unexpected-response', (_, response) => { this.refused = response; });
  }

  /** Engine.IO open; with `connect` Socket.IO's CONNECT as well. */
  static async open(url, { connect = true, auth } = {}) {
    const socket = new Socket(url);
    await socket.take((packet) => packet.startsWith?.('0'));
    socket.handshake = JSON.parse(socket.taken.slice(1));
    if (connect) {
      socket.send(`40${auth ? JSON.stringify(auth) : ''}`);
      await socket.take((packet) => packet.startsWith?.('40'));
      socket.session = JSON.parse(socket.taken.slice(2));
    }
    return socket;
  }

  send(...packets) {
    for (const packet of packets) this.ws.send(packet);
  }

  /** Removes and returns the first received packet that matches, waiting for it. */
  async take(matches, what = 'a packet') {
    await until(
      () => `${what} came (received: ${JSON.stringify(this.received.slice(0, 10))}, closed: ${this.closed})`,
      () => {
        if (this.received.some(matches)) return true;
        if (this.closed !== null) throw new InVain(`closed with ${this.closed} before ${what} came (received: ${JSON.stringify(this.received.slice(0, 10))})`);
        return false;
      },
      { every: 2 },
    );
    [this.taken] = this.received.splice(this.received.findIndex(matches), 1);
    return this.taken;
  }

  /** Resolves with the close code. */
  async close() {
    if (this.closed === null) await within('the server to close the WebSocket', once(this.ws, 'close'), 60_000);
    return this.closed;
  }

  end() {
    this.ws.terminate();
  }
}
