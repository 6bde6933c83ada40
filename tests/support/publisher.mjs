// A publisher: messages to the rooms in turn, at a steady rate, without waiting for answers; notes what became of each.

import { MESSAGE } from './client.mjs';
import { until } from './wait.mjs';

export class Publisher {
  #timer;
  #sequence = 0;
  #open = new Set();

  constructor(client, ledger, rooms) {
    Object.assign(this, { client, ledger, rooms });
  }

  start(perSecond) {
    this.#timer = setInterval(() => this.#publish(this.rooms[this.#sequence % this.rooms.length]), 1000 / perSecond);
    return this;
  }

  /** Stops, and resolves once every message is answered or known to be unanswered. */
  async stop() {
    clearInterval(this.#timer);
    await Promise.all(this.#open);
  }

  /** One last message, certainly committed, to every room: whoever has seen it has seen what came before. */
  async fence() {
    await this.client.connected();
    for (const room of this.rooms) {
      await until(`a fence for ${room} is committed`, async () => {
        const entry = this.#publish(room);
        await entry.answered;
        return entry.outcome === 'ok';
      });
    }
  }

  #publish(room) {
    const entry = this.ledger.invoke(this.client.name, (this.#sequence += 1), room);
    entry.answered = this.client
      .call('publish', room, MESSAGE, { id: entry.id })
      .then(() => { entry.outcome = 'ok'; }, (error) => { entry.outcome = 'info'; entry.error = error.message; });
    this.#open.add(entry.answered);
    entry.answered.finally(() => this.#open.delete(entry.answered));
    return entry;
  }
}
