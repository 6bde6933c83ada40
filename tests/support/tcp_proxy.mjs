// A TCP proxy with failover over several nodes, and the faults that only a network in between can inject.
//
//   client ──► proxy ──► the preferred node, else the next one that accepts
//
// half-open   the client's connection is reset, the node is told nothing and keeps its side
// refusal     new connections are closed at once: the client is offline
// hold        bytes towards clients stop after so many: a replay can be caught in its middle

import { EventEmitter, once } from 'node:events';
import net from 'node:net';

export class TcpProxy extends EventEmitter {
  #server;
  #targets;
  #preferred;
  #links = new Set();
  #abandoned = new Set();
  #held = null;
  refusing = false;

  static async listen(urls, { preferred = 0 } = {}) {
    const proxy = new TcpProxy(urls, preferred);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  constructor(urls, preferred) {
    super();
    this.#targets = urls.map((url) => ({ host: new URL(url).hostname, port: Number(new URL(url).port) }));
    this.#preferred = preferred;
    this.#server = net.createServer({ noDelay: true }, (client) => this.#accept(client));
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  /** How many connections reach through to a node. */
  get connections() {
    return this.#links.size;
  }

  /** Which target the next connection tries first. */
  prefer(index) {
    this.#preferred = index;
  }

  /** Resets every client connection while the nodes' sides stay open; returns how many. */
  halfOpenAll() {
    const links = [...this.#links];
    for (const link of links) this.#halfOpen(link);
    return links.length;
  }

  /** Cuts both sides of every connection. */
  cutAll() {
    for (const { client, upstream } of [...this.#links]) {
      upstream.destroy();
      client.destroy();
    }
  }

  /** From here on: after `bytes` more towards the clients nothing flows that way, until `release`. Emits `held`. */
  holdAfter(bytes) {
    this.#held = { remaining: bytes };
  }

  release() {
    this.#held = null;
    for (const { client, upstream, withheld } of this.#links) {
      for (const chunk of withheld.splice(0)) client.write(chunk);
      upstream.resume();
    }
  }

  /** Ends the nodes' sides of half-open connections as well. */
  forgetHalfOpen() {
    for (const upstream of this.#abandoned) upstream.destroy();
    this.#abandoned.clear();
  }

  async close() {
    this.refusing = true;
    this.cutAll();
    this.forgetHalfOpen();
    this.#server.close();
    await once(this.#server, 'close').catch(() => {});
  }

  #halfOpen(link) {
    this.#links.delete(link);
    link.halfOpen = true;
    link.client.unpipe?.();
    link.client.resetAndDestroy();
    this.#abandoned.add(link.upstream);
    link.upstream.removeAllListeners('data');
    link.upstream.resume();
  }

  async #accept(client) {
    client.on('error', () => {});
    if (this.refusing) {
      client.resetAndDestroy();
      return;
    }
    client.pause();
    const upstream = await this.#connect();
    if (!upstream || client.destroyed || this.refusing) {
      upstream?.destroy();
      client.destroy();
      return;
    }
    const link = { client, upstream, halfOpen: false, withheld: [] };
    this.#links.add(link);
    upstream.on('error', () => {});
    upstream.on('data', (chunk) => this.#towardsClient(link, chunk));
    client.on('data', (chunk) => {
      if (!upstream.write(chunk)) client.pause();
    });
    upstream.on('drain', () => client.resume());
    client.on('drain', () => {
      if (!this.#held || this.#held.remaining > 0) upstream.resume();
    });
    upstream.on('end', () => {
      if (!link.halfOpen) client.end();
    });
    upstream.on('close', () => {
      this.#links.delete(link);
      this.#abandoned.delete(upstream);
      if (!link.halfOpen) client.destroy();
    });
    client.on('end', () => upstream.end());
    client.on('close', () => {
      this.#links.delete(link);
      if (!link.halfOpen) upstream.destroy();
    });
    client.resume();
  }

  #towardsClient(link, chunk) {
    const held = this.#held;
    if (held) {
      const room = Math.max(0, held.remaining);
      held.remaining -= chunk.length;
      if (held.remaining <= 0) {
        if (room > 0) link.client.write(chunk.subarray(0, room));
        link.upstream.pause();
        link.withheld.push(chunk.subarray(room));
        this.emit('held');
        return;
      }
    }
    if (!link.client.write(chunk)) link.upstream.pause();
  }

  async #connect() {
    for (let attempt = 0; attempt < this.#targets.length; attempt += 1) {
      const index = (this.#preferred + attempt) % this.#targets.length;
      const upstream = net.connect({ ...this.#targets[index], noDelay: true });
      try {
        await once(upstream, 'connect');
        return upstream;
      } catch {
        upstream.destroy();
      }
    }
    return null;
  }
}
