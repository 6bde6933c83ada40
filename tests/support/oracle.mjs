// The judge of a run: what every client saw, held against what was published.
//
// Five findings, each a list that must be empty:
//   unrecovered  a reconnection that did not give the client its session back (recovered, same id)
//   lost         acknowledged as committed while the client was in the room, never seen
//   twice        seen more than once
//   foreign      seen without having been published to a room the client is in
//   disorder     no single order of all messages agrees with what every client saw, or a publisher's own order is broken
//
// A publish whose acknowledgement never came is `info`: it may appear or not, but not twice.

import assert from 'node:assert/strict';

export class Ledger {
  /** id → { id, room, publisher, sequence, outcome: 'pending' | 'ok' | 'info' } */
  published = new Map();

  invoke(publisher, sequence, room) {
    const entry = { id: `${publisher}:${sequence}`, publisher, sequence, room, outcome: 'pending' };
    this.published.set(entry.id, entry);
    return entry;
  }

  get acknowledged() {
    return [...this.published.values()].filter(({ outcome }) => outcome === 'ok');
  }

  get unknown() {
    return [...this.published.values()].filter(({ outcome }) => outcome !== 'ok');
  }
}

/** `clients`: [{ name, rooms: Set, seen: [id], connects: [{ recovered, id }] }], members of their rooms before the first publish. */
export function audit(ledger, clients) {
  const report = { unrecovered: [], lost: [], twice: [], foreign: [], disorder: [] };
  const perRoom = new Map();
  for (const entry of ledger.acknowledged) {
    if (!perRoom.has(entry.room)) perRoom.set(entry.room, []);
    perRoom.get(entry.room).push(entry.id);
  }
  for (const { name, rooms, seen, connects } of clients) {
    connects.slice(1).forEach((connect, index) => {
      if (connect.recovered !== true || connect.id !== connects[0].id) {
        report.unrecovered.push({ client: name, reconnection: index + 1, ...connect, sessionId: connects[0].id });
      }
    });
    const counts = new Map();
    for (const id of seen) counts.set(id, (counts.get(id) ?? 0) + 1);
    for (const [id, count] of counts) {
      if (count > 1) report.twice.push({ client: name, id, count });
      const entry = ledger.published.get(id);
      if (!entry || !rooms.has(entry.room)) report.foreign.push({ client: name, id });
    }
    for (const room of rooms) {
      for (const id of perRoom.get(room) ?? []) if (!counts.has(id)) report.lost.push({ client: name, id });
    }
    const last = new Map();
    for (const id of new Set(seen)) {
      const entry = ledger.published.get(id);
      if (!entry) continue;
      const before = last.get(entry.publisher);
      if (before !== undefined && before > entry.sequence) {
        report.disorder.push({ client: name, publisher: entry.publisher, before, after: entry.sequence });
      }
      last.set(entry.publisher, entry.sequence);
    }
  }
  const cycle = contradiction(clients.map(({ seen }) => [...new Set(seen)]));
  if (cycle) report.disorder.push({ contradiction: cycle });
  return report;
}

export function assertClean(report) {
  const findings = Object.entries(report)
    .filter(([, list]) => list.length > 0)
    .map(([kind, list]) => `${list.length} ${kind}: ${JSON.stringify(list.slice(0, 8))}`);
  assert.equal(findings.length, 0, `the run is not clean\n${findings.join('\n')}`);
}

/** Up to 20 ids that cannot be ordered, when no total order contains every sequence; otherwise null. */
export function contradiction(sequences) {
  const successors = new Map();
  const incoming = new Map();
  for (const sequence of sequences) {
    sequence.forEach((id, index) => {
      if (!successors.has(id)) successors.set(id, new Set());
      if (!incoming.has(id)) incoming.set(id, 0);
      if (index === 0) return;
      const before = successors.get(sequence[index - 1]);
      if (!before.has(id)) {
        before.add(id);
        incoming.set(id, incoming.get(id) + 1);
      }
    });
  }
  const free = [...incoming].filter(([, count]) => count === 0).map(([id]) => id);
  let placed = 0;
  while (free.length > 0) {
    placed += 1;
    for (const id of successors.get(free.pop())) {
      incoming.set(id, incoming.get(id) - 1);
      if (incoming.get(id) === 0) free.push(id);
    }
  }
  if (placed === incoming.size) return null;
  return [...incoming].filter(([, count]) => count > 0).map(([id]) => id).slice(0, 20);
}
