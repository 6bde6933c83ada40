// `vedfolnir doctor disk`, `limits` and `cluster`, and all of it at once: what is well is said to be so, what is not is named
// with the fix, and the exit code is 78 if something fails.

import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { Cluster, run, startSingle, temporaryDirectory } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { until } from './support/wait.mjs';

/** { code, checks, of(part of a check's line): those checks } */
async function doctor(args, { env } = {}) {
  const { code, stdout, stderr } = await run(['doctor', ...args, '--json'], { env });
  assert.ok(stdout, stderr);
  const { checks, failed } = JSON.parse(stdout);
  assert.equal(checks.filter(({ verdict }) => verdict === 'fail').length, failed);
  assert.equal(code, failed === 0 ? 0 : 78, stderr);
  for (const { verdict, fix } of checks) assert.ok(verdict === 'ok' || fix, 'whatever is not well has a fix');
  return { code, checks, of: (part) => checks.filter(({ what, why }) => `${what}: ${why}`.includes(part)) };
}
const wrong = (checks) => checks.filter(({ verdict }) => verdict !== 'ok').map(({ what, why }) => `${what}: ${why}`);
const settings = (node) => node.args.slice(1);

describe('disk', () => {
  test('a directory of a running node: its file system, its room and a hundred synced writes; nothing is left behind', async () => {
    const node = await startSingle();
    atEnd(() => node.kill());
    const { of } = await doctor(['disk', ...settings(node)]);
    assert.match(of('each synced')[0].why, /^\d+ writes of 4 KiB, each synced: half within [\d.]+ ms, 99 of 100 within [\d.]+ ms$/);
    assert.equal(of(': on ').length, 1);
    assert.equal(of('MiB free').length, 1);
    assert.equal(of('a node runs in it').length, 1);
    assert.ok(!readdirSync(node.dataDir).some((name) => name.includes('doctor')));
    assert.equal(of('mode 0700')[0].verdict, 'ok');
    chmodSync(node.dataDir, 0o755);
    assert.equal((await doctor(['disk', ...settings(node)])).of('mode 0755')[0].verdict, 'warn');
  });

  test('a directory that is not there yet is not made; one that is a file, and log directories that are not there, are faults', async () => {
    const directory = temporaryDirectory();
    const absent = path.join(directory, 'absent');
    const { code, of } = await doctor(['disk', '--data-dir', absent]);
    assert.equal(code, 0);
    assert.equal(of('does not exist yet')[0].verdict, 'warn');
    assert.ok(!existsSync(absent));
    const file = path.join(directory, 'file');
    writeFileSync(file, '');
    assert.equal((await doctor(['disk', '--data-dir', file])).of('it is no directory')[0].verdict, 'fail');
    const logs = path.join(directory, 'logs');
    mkdirSync(logs);
    chmodSync(logs, 0o777);
    const log = (await doctor(['disk', '--data-dir', absent, '--log-file', path.join(logs, 'log')])).of(`log directory ${logs}`);
    assert.deepEqual(wrong(log), [`log directory ${logs}: mode 0777 is open to more than its owner`]);
  });

  test('a file system in memory is warned of', { skip: !existsSync('/dev/shm') }, async () => {
    const { of } = await doctor(['disk', '--data-dir', '/dev/shm/vedfolnir-doctor-is-not-made']);
    assert.match(of('tmpfs')[0].why, /gone when the machine restarts/);
    assert.equal(of('tmpfs')[0].verdict, 'warn');
  });
});

describe('limits', () => {
  test('each is named with its value, and one that does not hold what is asked for says what to do', async () => {
    const { of } = await doctor(['limits']);
    for (const part of ['open files', 'memory', 'processors', 'threads', 'UDP receive buffer', 'accept queue', 'ports', 'clock source', 'time'])
      assert.equal(of(part).length > 0, true, part);
    const ports = (await doctor(['limits', '--port', '40000'])).of('ports');
    assert.match(`${ports[0].why} ${ports[0].fix}`, /40000|net\.ipv4\.ip_local_port_range/);
    const over = await doctor(['limits', '--memory-limit', '61440GiB']);
    assert.equal(over.code, 78);
    assert.match(over.of('memory')[0].fix, /WEBSOCKET_MEMORY_LIMIT/);
  });
});

describe('cluster', () => {
  let cluster;
  before(async () => {
    cluster = await Cluster.start(3);
    atEnd(() => cluster.stop());
  });
  const look = (node) => doctor(['cluster', '--addr', node.adminUrl]);

  test('that is well has nothing wrong, whichever node is asked', async () => {
    for (const node of cluster.nodes) {
      const { code, checks, of } = await until(`nothing is wrong for ${node.name}`, async () => {
        const found = await look(node);
        return wrong(found.checks).length === 0 ? found : null;
      });
      assert.equal(code, 0);
      assert.match(of('leader: ')[0].why, /^[0-9a-f]{16}, by all 3 that answer$/);
      assert.match(of('quorum')[0].why, /^3 of 3 voters live, 2 are needed: 1 more may die$/);
      assert.match(of('clocks')[0].why, /ms apart/);
      assert.equal(checks.filter(({ what }) => /^node [0-9a-f]{16}$/.test(what)).length, 3);
    }
    const { code, stdout } = await run(['doctor', 'cluster', '--addr', cluster.nodes[0].adminUrl]);
    assert.equal(code, 0);
    assert.match(stdout, /^ok {4}term: \d+$/m);
  });

  test('all at once, beside a node: the machine, the disk, the ports and the cluster', async () => {
    const { checks } = await doctor(settings(cluster.nodes[0]));
    for (const part of ['open files', 'each synced', 'cluster port', 'leader'])
      assert.ok(checks.some(({ what, why }) => `${what}: ${why}`.includes(part)), part);
    assert.deepEqual(checks.filter(({ verdict }) => verdict === 'fail'), []);
  });

  test('with a node that is dead: it is named, and one more death stops the cluster', async () => {
    const [dead, other] = await cluster.followers();
    const { node_id: id } = await dead.status();
    await dead.kill();
    const { code, of } = await until('the cluster knows of the death', async () => {
      const found = await look(other);
      return found.of(`node ${id}: it is down`).length > 0 ? found : null;
    });
    assert.equal(code, 78);
    assert.match(of('quorum')[0].why, /2 of 3 voters live, 2 are needed: one more death stops it/);
    await dead.restart();
  });

  test('of which no node answers: one line and exit code 1', async () => {
    const { code, stdout, stderr } = await run(['doctor', 'cluster', '--addr', '127.0.0.1:1']);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^vedfolnir: no node answers at 127\.0\.0\.1:1: .+\n$/);
  });
});
