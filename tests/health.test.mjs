// Health as balancers, orchestrators and people ask for it: five fields for everybody, each part for operators, probes.

import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { Cluster, getJson, run, startSingle } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

describe('health', () => {
  test('has five fields on the public listener, no cache, HEAD but no POST, and counts this node\'s clients', async (t) => {
    const node = await startSingle({ env: { WEBSOCKET_DETAILED_HEALTH: 'true' } });
    t.after(() => node.kill());
    const clients = await Promise.all(['one', 'two', 'three'].map((name) => connect(name, node.url)));
    const response = await fetch(`${node.url}/websocket/health`);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'application/json');
    assert.equal(response.headers.get('cache-control'), 'no-store');
    const body = await response.json();
    assert.deepEqual(Object.keys(body).sort(), ['connections', 'server_id', 'status', 'timestamp', 'uptime']);
    assert.equal(body.status, 'healthy');
    assert.equal(body.connections, 3);
    assert.match(body.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    for (const below of ['', '/ready', '/live', '/startup']) {
      assert.equal((await fetch(`${node.url}/websocket/health${below}`, { method: 'HEAD' })).status, 200, below);
      const post = await fetch(`${node.url}/websocket/health${below}`, { method: 'POST' });
      assert.equal(post.status, 405, below);
      assert.match(post.headers.get('allow'), /GET/);
    }
    for (const client of clients) client.close();
    await until('nobody is counted', async () => (await node.health()).body.connections === 0);
  });

  test('shows operators each part, when it is asked to', async (t) => {
    const node = await startSingle({ env: { WEBSOCKET_DETAILED_HEALTH: 'true', WEBSOCKET_HEALTH_CHECK_INTERVAL: '7', WEBSOCKET_HEALTH_CHECK_TIMEOUT: '2' } });
    t.after(() => node.kill());
    const parts = ['disk_space', 'memory', 'open_files', 'raft', 'storage'];
    await until('every part was checked', async () => {
      const { body } = await getJson(`${node.adminUrl}/websocket/health`);
      return parts.every((part) => body.checks?.[part]);
    });
    const { status, body } = await getJson(`${node.adminUrl}/websocket/health`);
    assert.equal(status, 200);
    for (const part of parts) {
      assert.equal(body.checks[part].status, 'ok', JSON.stringify(body.checks[part]));
      assert.ok(body.checks[part].age <= 10);
    }
    assert.equal((await getJson(`${node.url}/websocket/health`)).body.checks, undefined);
    const plain = await startSingle();
    t.after(() => plain.kill());
    assert.equal((await getJson(`${plain.adminUrl}/websocket/health`)).body.checks, undefined);
  });

  test('a disk that takes no writes makes the node unhealthy, after so many failures, and well again', async (t) => {
    const node = await startSingle({ env: { WEBSOCKET_HEALTH_CHECK_INTERVAL: '2', WEBSOCKET_HEALTH_CHECK_TIMEOUT: '1', WEBSOCKET_HEALTH_CHECK_RETRIES: '2', WEBSOCKET_DETAILED_HEALTH: 'true' } });
    t.after(() => node.kill());
    // A directory in the place of the file that the check writes: root may write anywhere else.
    const blocked = path.join(node.dataDir, 'health-check');
    await until('the place is taken between two checks', () => {
      try {
        mkdirSync(blocked);
        return true;
      } catch {
        return false;
      }
    });
    await until('the node is unhealthy', async () => (await node.health()).status === 503);
    assert.equal((await node.health()).body.status, 'unhealthy');
    const ready = await node.health('/ready');
    assert.equal(ready.status, 503);
    assert.match(ready.body.reason, /storage/);
    assert.equal((await node.health('/live')).status, 200);
    assert.equal((await node.health('/startup')).status, 200);
    assert.equal((await getJson(`${node.adminUrl}/websocket/health`)).body.checks.storage.status, 'failed');
    const told = () => node.output().split('\n').filter((line) => /check of the node's own parts failed.*storage/.test(line));
    await until('the log says so', () => told().length > 0);
    rmSync(blocked, { recursive: true });
    await until('the node is healthy', async () => (await node.health()).status === 200);
    await until('the log says that as well', () => /well again/.test(node.output()));
    assert.equal(told().length, 1, 'once');
  });

  test('above nine tenths of its memory a node takes no new clients and keeps those it has', async (t) => {
    const node = await startSingle();
    t.after(() => node.kill());
    await node.kill('SIGTERM');
    node.env.WEBSOCKET_MEMORY_LIMIT = '64MiB';
    node.spawn();
    await until('the node does not serve', async () => {
      const { status, body } = await node.health('/ready');
      return status === 503 && /memory/.test(body.reason);
    });
    const refused = await fetch(`${node.url}/socket.io/?EIO=4&transport=polling`);
    assert.equal(refused.status, 503);
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    assert.equal((await node.health('/live')).status, 200);
  });

  test('the path of a balancer has the answers of readiness, and the usual paths stay', async (t) => {
    const node = await startSingle({ env: { WEBSOCKET_HEALTH_CHECK_PATH: '/healthz' } });
    t.after(() => node.kill());
    for (const there of ['/healthz', '/websocket/health', '/websocket/health/ready', '/websocket/health/live']) {
      assert.equal((await fetch(`${node.url}${there}`)).status, 200, there);
    }
  });
});

describe('vedfolnir healthcheck', () => {
  test('tells by its exit code whether a node is ready, live, started', async (t) => {
    const cluster = await Cluster.start(3);
    t.after(() => cluster.stop());
    const [first, ...others] = cluster.nodes;
    for (const probe of ['ready', 'live', 'startup']) {
      const well = await run(['healthcheck', '--probe', probe, '--data-dir', first.dataDir]);
      assert.deepEqual([well.code, well.stdout], [0, 'ok\n'], well.stderr);
    }
    for (const node of others) await node.kill();
    await until('the node has no quorum', async () => (await first.health('/ready')).status === 503);
    const ill = await run(['healthcheck', '--data-dir', first.dataDir]);
    assert.equal(ill.code, 1);
    assert.match(ill.stderr, /^vedfolnir: the node at .*(quorum|leader).*\n$/);
    assert.equal((await run(['healthcheck', '--probe', 'live', '--data-dir', first.dataDir])).code, 0);
    assert.equal((await run(['healthcheck', '--probe', 'startup', '--data-dir', first.dataDir])).code, 0);
    await first.kill();
    assert.equal((await run(['healthcheck', '--data-dir', first.dataDir])).code, 1);
  });

  test('refuses a time-out that is not shorter than the interval, before anything starts', async () => {
    const { code, stdout } = await run(['config', 'check'], { env: { WEBSOCKET_HEALTH_CHECK_INTERVAL: '5', WEBSOCKET_HEALTH_CHECK_TIMEOUT: '5' } });
    assert.equal(code, 78);
    assert.match(stdout, /WEBSOCKET_HEALTH_CHECK_TIMEOUT/);
  });
});

describe('a runtime whose every thread is blocked', () => {
  const block = (node, seconds) =>
    fetch(`${node.adminUrl}/debug/block-runtime`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ seconds }),
    });
  const isLive = async (node) => {
    try {
      return (await getJson(`${node.url}/websocket/health/live`, 1_000)).status === 200;
    } catch {
      return false;
    }
  };

  test('answers no /live, the watchdog says so meanwhile, and says when it is over', async (t) => {
    const node = await startSingle({ env: { WEBSOCKET_DEBUG_MODE: 'true', WEBSOCKET_JSON_LOGGING: 'true' } });
    t.after(() => node.kill());
    const told = (type) =>
      node.output().split('\n').filter((line) => line.includes(`"event_type":"${type}"`)).map((line) => JSON.parse(line));
    assert.equal((await block(node, 0)).status, 400);
    assert.equal((await block(node, 12)).status, 202);
    await until('/live is not answered', async () => !(await isLive(node)));
    await until('the watchdog says so', () => told('runtime_stalled').length === 1);
    assert.equal(told('runtime_turns').length, 0, 'while it lasts');
    assert.equal(told('runtime_stalled')[0].level, 'CRITICAL');
    await until('/live is answered again', () => isLive(node));
    await until('the watchdog says that, too', () => told('runtime_turns').length === 1);
    assert.equal(told('runtime_stalled').length, 1);
    assert.match(await (await fetch(`${node.url}/websocket/metrics`)).text(), /^vedfolnir_runtime_stalls_total 1$/m);
  });

  test('is nothing that an operator could do to a node that is not in debug mode', async (t) => {
    const node = await startSingle();
    t.after(() => node.kill());
    assert.equal((await block(node, 10)).status, 404);
    assert.ok(await isLive(node));
  });
});
