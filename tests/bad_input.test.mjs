// What is wrong around a node: log directories, receivers that answer nonsense or nothing, certificates at their end, thresholds
// without a meaning. It is named before the start, or counted and told once; clients notice nothing.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, renameSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';

import { Authority } from './support/certificates.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { run, startSingle, temporaryDirectory } from './support/cluster.mjs';
import { logLines, metric, TELLING } from './support/doors.mjs';
import { linesOf } from './support/log_sinks.mjs';
import { startSecure } from './support/tls.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

/** A TCP server that does `talk(socket)` with whoever comes; `count` is how many came. */
async function listener(talk) {
  const sockets = new Set();
  const server = net.createServer((socket) => {
    listening.count += 1;
    sockets.add(socket);
    // A peer that goes away is what is expected.
    socket.on('error', () => {});
    talk(socket);
  });
  const listening = { count: 0 };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  listening.port = server.address().port;
  atEnd(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return listening;
}

async function start(env = {}, options = []) {
  const node = await startSingle({ env, options });
  atEnd(() => node.kill());
  return node;
}

/** A client comes, is echoed, and the node is ready. */
async function serves(node) {
  const client = await connect('witness', node.url);
  for (let index = 0; index < 5; index += 1) assert.deepEqual(await client.ask('echo', index), [index]);
  assert.equal((await node.health('/ready')).status, 200);
  return client;
}
const check = (env) => run(['config', 'check'], { env, cwd: temporaryDirectory() });

describe('a log directory', () => {
  test('that takes no files is named by config check and by start, with 78', async () => {
    // Not even root makes files there.
    for (const command of [['config', 'check'], ['start']]) {
      const { code, stdout, stderr } = await run(command, { env: { WEBSOCKET_LOG_FILE: '/proc/vedfolnir.log' }, cwd: temporaryDirectory() });
      assert.equal(code, 78);
      assert.match(stdout + stderr, /WEBSOCKET_LOG_FILE.*\/proc\/vedfolnir\.log/);
    }
  });

  test('that goes away while the node runs costs lines, which are counted and told once; when it is back they flow again', async () => {
    const directory = path.join(temporaryDirectory(), 'logs');
    mkdirSync(directory);
    const log = path.join(directory, 'log');
    const node = await start({ WEBSOCKET_LOG_FILE: log, WEBSOCKET_JSON_LOGGING: 'true' });
    const errors = () => metric(node, 'vedfolnir_log_errors_total', { sink: 'log' });
    const before = await errors();
    renameSync(directory, `${directory}.gone`);
    await until('the trouble is counted', async () => {
      await serves(node);
      return (await errors()) > before;
    });
    await serves(node);
    assert.equal(node.output().split('\n').filter((line) => line.includes('log_sink_failed') || line.includes('does not take lines')).length, 1);
    renameSync(`${directory}.gone`, directory);
    const client = await until('a line comes', async () => {
      const witness = await serves(node);
      return linesOf(log).some((line) => line.includes(witness.id)) ? witness : null;
    });
    assert.equal(client.disconnects.length, 0);
  });
});

describe('a receiver of logs that answers', () => {
  for (const [what, answer] of [
    ['what is no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['bytes of nothing', Buffer.alloc(4096, 0)],
    ['a status without an end', `HTTP/1.1 200 OK\r\n${'X-Long: y\r\n'.repeat(40_000)}`],
    ['a length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n'],
  ]) {
    test(`${what} is counted as failing and told once; the node serves, and ends when it is told to`, async () => {
      const garbage = await listener((socket) => socket.once('data', () => socket.write(answer)));
      const node = await start({
        WEBSOCKET_REMOTE_LOGGING: 'true', WEBSOCKET_LOG_AGGREGATION_SERVICE: `http://127.0.0.1:${garbage.port}/`,
        WEBSOCKET_LOG_FILE: path.join(temporaryDirectory(), 'log'),
      });
      const client = await serves(node);
      await until('it is counted', async () => (await metric(node, 'vedfolnir_log_errors_total', { sink: 'http' })) > 0);
      await until('it was tried again', () => garbage.count >= 2);
      await serves(node);
      assert.equal(node.output().split('\n').filter((line) => line.includes('log_sink_failed') || line.includes('does not take lines')).length, 1);
      assert.equal(client.disconnects.length, 0);
      assert.equal((await node.kill('SIGTERM', 15_000)).code, 0);
    });
  }
});

describe('a webhook of alerts', () => {
  for (const [what, talk] of [
    ['that never answers', () => {}],
    ['that answers what is no HTTP', (socket) => socket.write('220 smtp.example.com ESMTP\r\n')],
  ]) {
    test(`${what} is tried again and counted, while the node serves; nor does it hold up its end`, async () => {
      const webhook = await listener(talk);
      const node = await start({
        WEBSOCKET_ALERTING_ENABLED: 'true', WEBSOCKET_ALERT_WEBHOOK_URL: `http://127.0.0.1:${webhook.port}/hook`,
        WEBSOCKET_ALERT_WEBHOOK_ALLOW_PRIVATE: 'true', WEBSOCKET_ALERT_WINDOW: '1', WEBSOCKET_ALERT_THRESHOLDS: '{"memory_usage_mb":1}',
      });
      await until('it was asked', () => webhook.count > 0);
      await serves(node);
      await until('it was tried again', async () =>
        webhook.count >= 2 && (await metric(node, 'websocket_alert_messages_total', { result: 'retried' })) >= 1);
      await serves(node);
      assert.equal((await node.kill('SIGTERM', 15_000)).code, 0);
    });
  }
});

describe('a certificate', () => {
  const authority = new Authority();
  test('that is about to expire makes the node degraded, is told once, and clients are served', async () => {
    const node = await startSecure(authority.issue('short', { days: 2 }), {
      WEBSOCKET_HEALTH_CHECK_INTERVAL: '2', WEBSOCKET_HEALTH_CHECK_TIMEOUT: '1', WEBSOCKET_HEALTH_CHECK_RETRIES: '1',
    }, TELLING);
    atEnd(() => node.kill());
    const degraded = await until('it says so', async () => {
      const { body, status } = await node.health();
      return body?.status === 'degraded' ? { body, status } : null;
    });
    assert.equal(degraded.status, 200, 'a balancer goes on sending clients');
    const client = await connect('client', node.secureUrl, { ca: authority.pem });
    assert.deepEqual(await client.ask('echo', 1), [1]);
    const told = () => logLines(node).filter(({ check: of, found }) => of === 'tls' && /expires in \d+ hours/.test(found ?? ''));
    await until('it is told', () => told().length > 0);
    assert.equal(told().length, 1);
    // Two days less the moments since: one or two whole ones.
    const { stdout } = await run(['doctor', 'cluster', '--addr', node.adminUrl]);
    assert.match(stdout, /^warn {2}public certificate of [0-9a-f]{16}: it expires in [12] days; renew it$/m);
  });
});

describe('thresholds of alerts', () => {
  const judged = (thresholds, env = {}) => check({
    WEBSOCKET_ALERTING_ENABLED: 'true', WEBSOCKET_ALERT_WEBHOOK_URL: 'https://alerts.example.com/webhook',
    WEBSOCKET_ALERT_THRESHOLDS: thresholds, ...env,
  });

  test('that can never be passed, or always are, are doubted by name', async () => {
    for (const [thresholds, env, reason] of [
      ['{"memory_usage_mb":600}', { WEBSOCKET_MEMORY_LIMIT: '512MiB' }, /WEBSOCKET_ALERT_THRESHOLDS.*memory_usage_mb.*never/],
      ['{"memory_usage_mb":10}', {}, /WEBSOCKET_ALERT_THRESHOLDS.*memory_usage_mb.*always/],
      ['{"response_time_ms":60000}', {}, /WEBSOCKET_ALERT_THRESHOLDS.*response_time_ms.*never/],
    ]) {
      const { code, stdout } = await judged(thresholds, env);
      assert.equal(code, 0, stdout);
      assert.match(stdout, reason);
    }
    const { code, stdout } = await judged('{"memory_usage_mb":400,"response_time_ms":1000,"connection_errors":10,"message_errors":50}', { WEBSOCKET_MEMORY_LIMIT: '512MiB' });
    assert.equal(code, 0, stdout);
    assert.doesNotMatch(stdout, /WEBSOCKET_ALERT_THRESHOLDS/);
  });
});
