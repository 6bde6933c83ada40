// The line to one node of a cluster: what the others send it passes, or waits until the line is released.
//
//   other nodes ──► line ──► node        (held: nothing passes this way, nothing is lost)
//   other nodes ◄── line ◄── node
//
// What a node asks the others for by itself does not come through here: while its line is held it can ask and be answered,
// and its replica stands still.

import dgram from 'node:dgram';
import { once } from 'node:events';

export class UdpLine {
  #front;
  #target;
  #backs = new Map();
  #held = null;

  /** In front of HOST:PORT. */
  static async before(address) {
    const [host, port] = address.split(':');
    const line = new UdpLine({ host, port: Number(port) });
    line.#front.bind(0, '127.0.0.1');
    await once(line.#front, 'listening');
    return line;
  }

  constructor(target) {
    this.#target = target;
    this.#front = dgram.createSocket('udp4');
    this.#front.on('message', (datagram, from) => {
      const pass = () => this.#back(from).send(datagram, this.#target.port, this.#target.host, () => {});
      if (this.#held) this.#held.push(pass);
      else pass();
    });
    this.#front.on('error', () => {});
  }

  /** HOST:PORT that the node advertises. */
  get address() {
    return `127.0.0.1:${this.#front.address().port}`;
  }

  hold() {
    this.#held ??= [];
  }

  /** What waited passes, in its order. */
  release() {
    const held = this.#held ?? [];
    this.#held = null;
    for (const pass of held) pass();
  }

  close() {
    this.#front.close();
    for (const back of this.#backs.values()) back.close();
  }

  #back(from) {
    const key = `${from.address}:${from.port}`;
    let back = this.#backs.get(key);
    if (!back) {
      back = dgram.createSocket('udp4');
      back.on('message', (datagram) => this.#front.send(datagram, from.port, from.address, () => {}));
      back.on('error', () => {});
      this.#backs.set(key, back);
    }
    return back;
  }
}
