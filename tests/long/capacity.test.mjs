// Whether a node fits the resources that the manifests ask for: a thousand idle clients in 256 MiB beside Raft, and twice as many
// that try to come in within the limit of 512 MiB. `tests/run.sh --long capacity`, with a release.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';

import { atEnd } from '../support/cleanup.mjs';
import { Cluster } from '../support/cluster.mjs';
import { openSocket } from '../support/doors.mjs';
import { Socket } from '../support/raw.mjs';

const MIB = 1 << 20;
const CLIENTS = 1_000;
const AT_ONCE = 50;

/** What a process holds, and the most it ever held, in bytes. */
function memory({ pid }) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = (name) => Number(status.match(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm'))[1]) * 1024;
  return { now: of('VmRSS'), most: of('VmHWM') };
}

async function inBatches(count, work) {
  for (let done = 0; done < count; done += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - done) }, work));
  }
}

describe('a node of the manifests', () => {
  test('a thousand idle clients of a node fit 256 MiB, and a thousand more that are turned away fit 512 MiB', async (t) => {
    const cluster = await Cluster.start(3, { env: { WEBSOCKET_MAX_CONNECTIONS_PER_SERVER: String(CLIENTS), WEBSOCKET_MEMORY_LIMIT: '512MiB' } });
    atEnd(() => cluster.stop());
    const node = await cluster.leader();
    const sockets = [];
    await inBatches(CLIENTS, async () => sockets.push(await openSocket(node.url)));
    assert.equal(sockets.length, CLIENTS);
    const idle = memory(node);
    let refused = 0;
    await inBatches(CLIENTS, async () => {
      const socket = new Socket(node.url);
      await new Promise((resolve) => {
        socket.ws.on('unexpected-response', (_, response) => {
          if (response.statusCode === 503) refused += 1;
          resolve();
        });
        socket.ws.on('error', resolve);
        socket.ws.on('open', resolve);
      });
      socket.ws.terminate();
    });
    const after = memory(node);
    t.diagnostic(`idle ${Math.round(idle.now / MIB)} MiB, at most ${Math.round(after.most / MIB)} MiB, ${refused} refused`);
    assert.ok(idle.now < 256 * MIB, `${idle.now} bytes with ${CLIENTS} idle clients`);
    assert.ok(after.most < 512 * MIB, `${after.most} bytes at most`);
    assert.equal(refused, CLIENTS);
    assert.equal(sockets.filter(({ closed }) => closed !== null).length, 0, 'clients that were there lost their connections');
  });
});
