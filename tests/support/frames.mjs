// WebSocket frames by hand (RFC 6455), right and wrong ones, over a TCP connection that remembers what came back.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';

import { InVain, until, within } from './wait.mjs';

export const [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] = [0, 1, 2, 8, 9, 10];

/** One frame; `announced` is the length that its head tells when that is not the payload's. */
export function frame(opcode, payload = '', { fin = true, reserved = 0, masked = true, announced } = {}) {
  const body = Buffer.from(payload);
  const length = announced ?? body.length;
  const head = [(fin ? 0x80 : 0) | (reserved << 4) | opcode];
  const mark = masked ? 0x80 : 0;
  if (length < 126) head.push(mark | length);
  else if (length < 65_536) head.push(mark | 126, length >> 8, length & 0xff);
  else {
    const long = Buffer.alloc(8);
    long.writeBigUInt64BE(BigInt(length));
    head.push(mark | 127, ...long);
  }
  if (!masked) return Buffer.concat([Buffer.from(head), body]);
  const mask = randomBytes(4);
  return Buffer.concat([Buffer.from(head), mask, body.map((byte, index) => byte ^ mask[index % 4])]);
}

/** A Close frame's payload. */
export const closing = (code, reason = '') => Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]);

/** A WebSocket of which the client writes every byte itself. Pings of Engine.IO are answered unless `mute`. */
export class Bare {
  /** The texts that came. */
  received = [];
  /** The code that the server closed with; `undefined`: none came, 1005: a Close frame without one. */
  code;
  over = false;
  #bytes = Buffer.alloc(0);

  static async open(url, { query = '', headers = {}, connect = true, mute = false } = {}) {
    const bare = new Bare();
    bare.mute = mute;
    const { hostname, port } = new URL(url);
    bare.tcp = net.connect({ host: hostname, port: Number(port), noDelay: true });
    // A reset is an end like any other.
    bare.tcp.on('error', () => {});
    bare.tcp.on('data', (chunk) => bare.#take(chunk));
    bare.ended = new Promise((resolve) => {
      bare.tcp.on('close', () => {
        bare.over = true;
        resolve();
      });
    });
    await once(bare.tcp, 'connect');
    const lines = {
      Host: 'localhost',
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
      ...headers,
    };
    const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`);
    bare.tcp.write(`GET /socket.io/?EIO=4&transport=websocket${query} HTTP/1.1\r\n${head.join('')}\r\n`);
    await until('the handshake is answered', () => bare.head ?? (bare.over && 'nothing'), { every: 2 });
    if (!/^HTTP\/1\.1 101 /.test(bare.head ?? '')) throw new Error(`the handshake was answered ${bare.head}`);
    if (connect) {
      await bare.saw((text) => text.startsWith('0'));
      bare.send(frame(TEXT, '40'));
      await bare.saw((text) => text.startsWith('40'));
    }
    return bare;
  }

  send(...frames) {
    this.tcp.write(Buffer.concat(frames));
    return this;
  }

  /** Writes as fast as the other side reads, until `work` gives `null` or the connection is over. */
  async flood(next) {
    for (let chunk = next(); chunk !== null && !this.over; chunk = next()) {
      if (!this.tcp.write(chunk)) await Promise.race([once(this.tcp, 'drain').catch(() => {}), this.ended]);
    }
    return this;
  }

  /** Waits for a text that came, and gives it. */
  async saw(matches) {
    return until(
      () => `a text came (those that came: ${JSON.stringify(this.received.slice(0, 5))})`,
      () => {
        const text = this.received.find(matches);
        if (text === undefined && this.over) throw new InVain(`closed with ${this.code}`);
        return text;
      },
      { every: 2 },
    );
  }

  /** The close code, once the server has also ended the connection. */
  async farewell(limit = 30_000) {
    await within('the server to end the connection', this.ended, limit);
    return this.code;
  }

  end() {
    this.tcp.destroy();
  }

  #take(chunk) {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    if (this.head === undefined) {
      const end = this.#bytes.indexOf('\r\n\r\n');
      if (end < 0) return;
      this.head = String(this.#bytes.subarray(0, end));
      this.#bytes = this.#bytes.subarray(end + 4);
    }
    for (;;) {
      if (this.#bytes.length < 2) return;
      const short = this.#bytes[1];
      const extra = { 126: 2, 127: 8 }[short] ?? 0;
      if (this.#bytes.length < 2 + extra) return;
      let length = short;
      if (extra === 2) length = this.#bytes.readUInt16BE(2);
      if (extra === 8) length = Number(this.#bytes.readBigUInt64BE(2));
      const payload = this.#bytes.subarray(2 + extra, 2 + extra + length);
      if (payload.length < length) return;
      this.#see(this.#bytes[0] & 0x0f, payload);
      this.#bytes = this.#bytes.subarray(2 + extra + length);
    }
  }

  #see(opcode, payload) {
    if (opcode === CLOSE) this.code = payload.length < 2 ? 1005 : payload.readUInt16BE(0);
    if (opcode !== TEXT) return;
    this.received.push(String(payload));
    if (String(payload) === '2' && !this.mute) this.send(frame(TEXT, '3'));
  }
}
