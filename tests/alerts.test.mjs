// Alerts by webhook: one message when a threshold is passed, one when it is passed no more, signed, until they are taken.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import { Cluster, run, startSingle, temporaryDirectory } from './support/cluster.mjs';
import { until } from './support/wait.mjs';
import { receiver } from './support/webhook.mjs';

const SECRET = 'a shared secret of the receiver';

async function nodeFor(t, webhook, env = {}) {
  const node = await startSingle({
    env: {
      WEBSOCKET_ALERTING_ENABLED: 'true',
      WEBSOCKET_ALERT_WEBHOOK_URL: webhook,
      WEBSOCKET_ALERT_WEBHOOK_ALLOW_PRIVATE: 'true',
      WEBSOCKET_ALERT_WEBHOOK_SECRET: SECRET,
      WEBSOCKET_ALERT_WINDOW: '2',
      WEBSOCKET_ALERT_THRESHOLDS: '{"connection_errors":10}',
      ...env,
    },
  });
  t.after(() => node.kill());
  return node;
}

/** As many requests that are none of the protocol. */
const fail = (node, count) => Promise.all(Array.from({ length: count }, () => fetch(`${node.url}/socket.io/?EIO=3&transport=polling`)));

const metric = async (node, series) => {
  const page = await (await fetch(`${node.url}/websocket/metrics`)).text();
  const line = page.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  return Number(line?.split(' ').at(-1));
};

describe('an alert', () => {
  test('is sent once when its threshold is passed in a window, and once when it is passed no more; both are signed', async (t) => {
    const { messages, url } = await receiver(t);
    const node = await nodeFor(t, url);
    await fail(node, 10);
    await until('the failures are over: ten are not more than ten', async () => (await metric(node, 'websocket_connections_failed_total{reason="protocol"}')) === 10);
    await fail(node, 15);
    await until('the alert and its end', () => messages.length >= 2);
    const [fired, resolved] = messages;
    assert.deepEqual([fired.json.alert, fired.json.status, fired.json.threshold], ['connection_errors', 'firing', 10]);
    assert.ok(fired.json.value > 10 && fired.json.value <= 25, String(fired.json.value));
    assert.equal(fired.json.server_id, (await node.health()).body.server_id);
    assert.equal(fired.json.windowSeconds, 2);
    assert.match(fired.json.startsAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.equal(resolved.json.status, 'resolved');
    assert.deepEqual([resolved.json.startsAt, resolved.json.fingerprint], [fired.json.startsAt, fired.json.fingerprint]);
    assert.ok(Date.parse(resolved.json.endsAt) >= Date.parse(resolved.json.startsAt));
    for (const { method, path: target, headers, body } of messages) {
      assert.deepEqual([method, target, headers['content-type']], ['POST', '/hook?key=c4n4ry', 'application/json']);
      const expected = createHmac('sha256', SECRET).update(`${headers['x-vedfolnir-timestamp']}.`).update(body).digest('hex');
      assert.equal(headers['x-vedfolnir-signature'], `sha256=${expected}`);
      assert.ok(Math.abs(Number(headers['x-vedfolnir-timestamp']) - Date.now() / 1000) < 60);
    }
    assert.notEqual(fired.headers['idempotency-key'], resolved.headers['idempotency-key']);
    // Another one, from the beginning to its end: nothing of the first was told twice in the meantime.
    await fail(node, 15);
    await until('another alert and its end', () => messages.length >= 4);
    assert.deepEqual(messages.map(({ json }) => json.status), ['firing', 'resolved', 'firing', 'resolved']);
    assert.equal(await metric(node, 'websocket_alert_messages_total{result="delivered"}'), 4);
    assert.doesNotMatch(node.output(), new RegExp(`${SECRET}|c4n4ry`));
    await until('the log says so', () => /alert_firing/.test(node.output()));
  });

  test('is sent again with the same key until the receiver takes it', async (t) => {
    const { messages, url } = await receiver(t, (so_far) => (so_far.length <= 2 ? [503, { 'retry-after': '0' }] : [200]));
    const node = await nodeFor(t, url, { WEBSOCKET_ALERT_THRESHOLDS: '{"memory_usage_mb":1}' });
    await until('it was delivered', async () => (await metric(node, 'websocket_alert_messages_total{result="delivered"}')) === 1);
    assert.equal(messages.length, 3);
    assert.equal(new Set(messages.map(({ headers }) => headers['idempotency-key'])).size, 1);
    assert.equal(new Set(messages.map(({ body }) => body.toString())).size, 1);
    assert.equal(await metric(node, 'websocket_alert_messages_total{result="retried"}'), 2);
    assert.equal(await metric(node, 'websocket_alert_firing{alert="memory_usage_mb"}'), 1);
  });

  test('goes on being told at its interval, and ends when SIGHUP takes its threshold away', async (t) => {
    const { messages, url } = await receiver(t);
    const file = path.join(temporaryDirectory(), 'settings.env');
    const thresholds = (text) => writeFileSync(file, `WEBSOCKET_ALERT_THRESHOLDS=${text}\n`);
    thresholds('{"memory_usage_mb":1}');
    const node = await startSingle({
      options: ['--env-file', file],
      env: {
        WEBSOCKET_ALERTING_ENABLED: 'true',
        WEBSOCKET_ALERT_WEBHOOK_URL: url,
        WEBSOCKET_ALERT_WEBHOOK_ALLOW_PRIVATE: 'true',
        WEBSOCKET_ALERT_WINDOW: '1',
        WEBSOCKET_ALERT_REPEAT: '1',
      },
    });
    t.after(() => node.kill());
    await until('it was told three times', () => messages.length >= 3);
    assert.ok(messages.every(({ json }) => json.status === 'firing'));
    assert.equal(new Set(messages.map(({ json }) => json.startsAt)).size, 1);
    assert.equal(new Set(messages.map(({ headers }) => headers['idempotency-key'])).size, messages.length);
    assert.equal(messages[0].headers['x-vedfolnir-signature'], undefined, 'there is no secret to sign with');
    thresholds('{}');
    process.kill(node.pid, 'SIGHUP');
    await until('it is resolved', () => messages.at(-1).json.status === 'resolved');
  });

  test('does not follow a redirect, and says once that it was given up', async (t) => {
    const elsewhere = await receiver(t);
    const { messages, url } = await receiver(t, () => [307, { location: elsewhere.url }]);
    const node = await nodeFor(t, url, { WEBSOCKET_ALERT_THRESHOLDS: '{"memory_usage_mb":1}' });
    await until('it was given up', async () => (await metric(node, 'websocket_alert_messages_total{result="dropped"}')) === 1);
    assert.equal(messages.length, 1);
    assert.equal(elsewhere.messages.length, 0);
    await until('the log says so', () => /alert_not_delivered.*307/.test(node.output()));
  });

  test('goes to no private address unless that is allowed, whatever a name resolves to', async (t) => {
    const { messages, url } = await receiver(t);
    const named = url.replace('127.0.0.1', 'localhost');
    const node = await nodeFor(t, named, { WEBSOCKET_ALERT_THRESHOLDS: '{"memory_usage_mb":1}', WEBSOCKET_ALERT_WEBHOOK_ALLOW_PRIVATE: 'false' });
    await until('it was given up', async () => (await metric(node, 'websocket_alert_messages_total{result="dropped"}')) === 1);
    assert.equal(messages.length, 0);
    await until('the log says so', () => /private address/.test(node.output()));
    assert.equal((await node.health()).status, 200);
  });

  test('is not sent when alerting is off', async (t) => {
    const { messages, url } = await receiver(t);
    const node = await nodeFor(t, url, { WEBSOCKET_ALERTING_ENABLED: 'false', WEBSOCKET_ALERT_THRESHOLDS: '{"connection_errors":1,"memory_usage_mb":1}' });
    await fail(node, 20);
    // A node beside it, with the same threshold, has been told by then.
    const other = await receiver(t);
    await nodeFor(t, other.url, { WEBSOCKET_ALERT_THRESHOLDS: '{"memory_usage_mb":1}' });
    await until('the other node told its alert', () => other.messages.length > 0);
    assert.equal(messages.length, 0);
  });
});

describe('an alert about the cluster', () => {
  const clusterFor = async (t, count, webhook, env = {}) => {
    const cluster = await Cluster.start(count, {
      env: {
        WEBSOCKET_ALERTING_ENABLED: 'true',
        WEBSOCKET_ALERT_WEBHOOK_URL: webhook,
        WEBSOCKET_ALERT_WEBHOOK_ALLOW_PRIVATE: 'true',
        WEBSOCKET_ALERT_WEBHOOK_SECRET: SECRET,
        WEBSOCKET_ALERT_NODE_DOWN_AFTER: '3',
        ...env,
      },
    });
    t.after(() => cluster.stop());
    return cluster;
  };
  /** The keys of distinct messages about one alert, in the order in which they came first. */
  const keys = (messages, alert, status, node) => [
    ...new Set(
      messages
        .filter(({ json }) => json.alert === alert && json.status === status && (node === undefined || json.node === node))
        .map(({ headers }) => headers['idempotency-key']),
    ),
  ];
  const firing = async (node) => (await node.status()).alerts.map(({ alert, node: about }) => [alert, about]);

  test('is told once by whoever leads after the leader died, and once that it is over; every node shows it', async (t) => {
    const { messages, url } = await receiver(t);
    const cluster = await clusterFor(t, 3, url);
    const dead = await cluster.leader();
    const { node_id: id, cluster_id: clusterId } = await dead.status();
    await dead.kill('SIGKILL');
    await until('the new leader told it', () => keys(messages, 'node_down', 'firing').length > 0 && keys(messages, 'quorum_at_risk', 'firing').length > 0);
    const leader = await cluster.leader();
    const [down] = messages.filter(({ json }) => json.alert === 'node_down');
    assert.equal(down.json.node, id);
    assert.equal(down.json.cluster, clusterId);
    assert.equal(down.json.server_id, (await leader.health()).body.server_id);
    assert.ok(down.json.value > 3 && down.json.threshold === 3, JSON.stringify(down.json));
    const expected = createHmac('sha256', SECRET).update(`${down.headers['x-vedfolnir-timestamp']}.`).update(down.body).digest('hex');
    assert.equal(down.headers['x-vedfolnir-signature'], `sha256=${expected}`);
    for (const node of cluster.alive) {
      await until('it is shown', async () => (await firing(node)).length === 2 && (await node.status()).alerts.every(({ told }) => told));
      assert.deepEqual((await firing(node)).sort(), [['node_down', id], ['quorum_at_risk', undefined]]);
      assert.equal(await metric(node, 'vedfolnir_cluster_alerts_firing{alert="node_down"}'), 1);
      const { stdout } = await run(['status', '--addr', node.adminUrl]);
      assert.match(stdout, new RegExp(`alert +node_down ${id} since `));
    }
    await dead.restart();
    await until('it is over', () => keys(messages, 'node_down', 'resolved').length > 0 && keys(messages, 'quorum_at_risk', 'resolved').length > 0);
    for (const node of cluster.nodes) await until('it is shown no more', async () => (await firing(node)).length === 0);
    assert.deepEqual(
      messages.map(({ json }) => `${json.alert} ${json.status}`).sort(),
      ['node_down firing', 'node_down resolved', 'quorum_at_risk firing', 'quorum_at_risk resolved'],
    );
    const [over] = messages.filter(({ json }) => json.alert === 'node_down' && json.status === 'resolved');
    assert.deepEqual([over.json.startsAt, over.json.fingerprint], [down.json.startsAt, down.json.fingerprint]);
  });

  test('that one leader could not hand over the next one sends, byte by byte, under the same key', async (t) => {
    let takes = false;
    const { messages, url } = await receiver(t, () => (takes ? [204] : [503, { 'retry-after': '1' }]));
    const cluster = await clusterFor(t, 5, url);
    const first = await cluster.leader();
    const { node_id: firstId } = await first.status();
    await first.kill('SIGKILL');
    await until('the second leader tries to tell it', () => keys(messages, 'node_down', 'firing', firstId).length > 0);
    const second = await cluster.leader();
    const { node_id: secondId } = await second.status();
    await second.kill('SIGKILL');
    const before = messages.length;
    await until('the third leader tries to tell it', () =>
      messages.slice(before).some(({ json }) => json.node === firstId),
    );
    takes = true;
    await until('the second one is told, too', () => keys(messages, 'node_down', 'firing', secondId).length > 0);
    const about = messages.filter(({ json }) => json.node === firstId);
    assert.equal(new Set(about.map(({ headers }) => headers['idempotency-key'])).size, 1);
    assert.equal(new Set(about.map(({ body }) => body.toString())).size, 1);
    await Promise.all([first.restart(), second.restart()]);
    for (const id of [firstId, secondId]) {
      await until('it is over', () => keys(messages, 'node_down', 'resolved', id).length > 0);
    }
    await until('nothing fires', async () => (await firing(first)).length === 0);
    for (const id of [firstId, secondId]) {
      assert.equal(keys(messages, 'node_down', 'firing', id).length, 1);
      assert.equal(keys(messages, 'node_down', 'resolved', id).length, 1);
    }
  });

  test('is not told when they are off', async (t) => {
    const { messages, url } = await receiver(t);
    const cluster = await clusterFor(t, 3, url, { WEBSOCKET_ALERT_CLUSTER: 'false', WEBSOCKET_ALERT_NODE_DOWN_AFTER: '1' });
    const dead = await cluster.leader();
    const { node_id: id } = await dead.status();
    await dead.kill('SIGKILL');
    // The cluster's own patience (6 s) is longer than that of the alert would be.
    await until('it was declared down', async () =>
      (await cluster.alive[0].status()).nodes.some((node) => node.id === id && !node.live),
    );
    assert.deepEqual(messages, []);
  });
});

describe('config check', () => {
  const check = async (env) => {
    const { code, stdout } = await run(['config', 'check'], { env: { WEBSOCKET_ALERTING_ENABLED: 'true', WEBSOCKET_ALERT_WEBHOOK_URL: 'https://alerts.example.com/webhook', ...env } });
    return { code, stdout };
  };

  test('refuses thresholds that make no sense, and says where', async () => {
    for (const [thresholds, reason] of [
      ['{"connection_errors":10,}', /line 1 column 24|trailing comma/],
      ['{"errors":10}', /"errors" is no threshold/],
      ['{"connection_errors":"10"}', /not a number above 0/],
      ['{"connection_errors":-1}', /not a number above 0/],
      ['[]', /WEBSOCKET_ALERT_THRESHOLDS/],
    ]) {
      const { code, stdout } = await check({ WEBSOCKET_ALERT_THRESHOLDS: thresholds });
      assert.equal(code, 78, thresholds);
      assert.match(stdout, reason);
    }
    assert.equal((await check({ WEBSOCKET_ALERT_THRESHOLDS: '{"connection_errors":0.5,"message_errors":50,"response_time_ms":1000,"memory_usage_mb":500}' })).code, 0);
  });

  test('refuses alerts to nowhere, to a private address and to what is no web address', async () => {
    assert.equal((await run(['config', 'check'], { env: { WEBSOCKET_ALERTING_ENABLED: 'true' } })).code, 78);
    for (const url of ['http://127.0.0.1/x', 'http://[::1]/x', 'https://169.254.169.254/latest', 'ftp://example.com/', 'nowhere']) {
      const { code, stdout } = await check({ WEBSOCKET_ALERT_WEBHOOK_URL: url });
      assert.equal(code, 78, `${url}: ${stdout}`);
    }
  });
});
