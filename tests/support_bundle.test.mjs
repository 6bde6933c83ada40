// `vedfolnir support-bundle`: one file with what somebody who helps needs to know, and none of the secrets that were planted
// everywhere.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { Cluster, run, temporaryDirectory } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Key } from './support/tokens.mjs';

const canary = (of) => `planted-${of}-0123456789abcdef0123456789`;
const SECRETS = {
  WEBSOCKET_ADMIN_TOKEN: canary('admin'),
  WEBSOCKET_ADMIN_OPERATE_TOKEN: canary('operate'),
  WEBSOCKET_ADMIN_READ_TOKEN: canary('read'),
  WEBSOCKET_METRICS_TOKEN: canary('metrics'),
  WEBSOCKET_AUTH_JWT_SECRET: canary('jwt'),
  WEBSOCKET_CSRF_SECRET: canary('csrf'),
  WEBSOCKET_ALERT_WEBHOOK_URL: `https://127.0.0.1:9/hooks/${canary('webhook-path')}`,
  WEBSOCKET_ALERT_WEBHOOK_SECRET: canary('webhook'),
  WEBSOCKET_LOG_AGGREGATION_TOKEN: canary('log'),
};
const ENV = {
  ...SECRETS,
  WEBSOCKET_ALERTING_ENABLED: 'true',
  WEBSOCKET_ALERT_WEBHOOK_ALLOW_PRIVATE: 'true',
  WEBSOCKET_ALERT_WINDOW: '1',
  WEBSOCKET_ALERT_THRESHOLDS: '{"memory_usage_mb":1}',
  WEBSOCKET_REMOTE_LOGGING: 'true',
  WEBSOCKET_LOG_AGGREGATION_SERVICE: 'http://127.0.0.1:9/logs',
};

describe('of a cluster with secrets everywhere', () => {
  const directory = temporaryDirectory();
  const log = path.join(directory, 'log');
  let cluster;
  let client;
  before(async () => {
    cluster = await Cluster.start(2, { env: ENV, options: ['--log-level', 'debug'], wait: false });
    atEnd(() => cluster.stop());
    atEnd(closeClients);
    await Promise.all(cluster.nodes.map((node) => node.ready()));
    const token = Key.secret(SECRETS.WEBSOCKET_AUTH_JWT_SECRET).token({ sub: 'alice' });
    client = await connect('client', cluster.urls[0], { auth: { token } });
    client.token = token;
    // Lines that quote what they should not, as a library's error might.
    const quoted = Object.values(SECRETS).map((secret) => `an error quoted ${secret}\n`);
    writeFileSync(log, `${quoted.join('')}harmless\npassword=${canary('unknown')} Bearer ${token}\n`);
  });

  const bundleOf = async (file, ...more) => {
    const args = [...cluster.nodes[0].args.slice(1), '--log-file', log, '--output', file, ...more];
    return run(['support-bundle', ...args], { env: ENV });
  };
  const unpack = (file) => {
    const names = execFileSync('tar', ['tzf', file], { encoding: 'utf8' }).trim().split('\n');
    return new Map(names.map((name) => [name, execFileSync('tar', ['xOzf', file, name], { encoding: 'utf8', maxBuffer: 1 << 26 })]));
  };

  test('it has settings, every node, logs, the doctor, the machine, a manifest, and none of the secrets', async () => {
    const file = path.join(directory, 'bundle.tar.gz');
    const { code, stdout, stderr } = await bundleOf(file);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^.+bundle\.tar\.gz \(\d+ bytes, \d+ entries/);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const entries = unpack(file);
    const manifest = JSON.parse(entries.get('MANIFEST.json'));
    assert.deepEqual(manifest.entries.map(({ name }) => name), [...entries.keys()].filter((name) => name !== 'MANIFEST.json'));
    for (const { name, bytes } of manifest.entries) assert.equal(Buffer.byteLength(entries.get(name)), bytes, name);

    const { nodes } = JSON.parse((await run(['status', '--data-dir', cluster.nodes[0].dataDir, '--json'])).stdout);
    for (const { id } of nodes) {
      assert.equal(JSON.parse(entries.get(`nodes/${id}/status.json`)).node_id, id);
      assert.equal(JSON.parse(entries.get(`nodes/${id}/members.json`)).members.length, 2);
      assert.ok(JSON.parse(entries.get(`nodes/${id}/health.json`)).status);
      assert.match(entries.get(`nodes/${id}/metrics.txt`), /^websocket_connections_total/m);
    }
    assert.match(entries.get('config/settings.txt'), /^WEBSOCKET_ADMIN_TOKEN +\*\*\* /m);
    assert.match(entries.get('logs/main.log'), /^harmless$/m);
    assert.ok(JSON.parse(entries.get('doctor.json')).some(({ what }) => what === 'leader'));
    assert.match(entries.get('system.txt'), /^# \/proc\/version$/m);
    assert.match(entries.get('data-directory.txt'), /LOCK$/m);

    const pid = client.socket._pid;
    assert.ok(pid);
    for (const [name, text] of entries) {
      for (const secret of ['planted-', pid, client.token, ...Object.values(SECRETS)])
        assert.ok(!text.includes(secret), `${name} has ${secret}`);
    }
  });

  test('a file that is there is left alone, unless it is forced', async () => {
    const file = path.join(directory, 'there.tar.gz');
    writeFileSync(file, 'before');
    const { code, stderr } = await bundleOf(file);
    assert.equal(code, 1);
    assert.match(stderr, /^vedfolnir: --output = ".+there\.tar\.gz" cannot be written: it is there already; .+--force\n$/);
    assert.equal(readFileSync(file, 'utf8'), 'before');
    assert.equal((await bundleOf(file, '--force')).code, 0);
    assert.ok(unpack(file).has('MANIFEST.json'));
  });

  test('a node that is dead, and settings that are refused, are said to be missing; secrets among them are not shown', async () => {
    const [, dead] = cluster.nodes;
    const { node_id: id } = JSON.parse((await run(['status', '--data-dir', dead.dataDir, '--json'])).stdout);
    await dead.kill();
    const file = path.join(directory, 'dead.tar.gz');
    assert.equal((await bundleOf(file)).code, 0);
    assert.ok(JSON.parse(unpack(file).get('MANIFEST.json')).missing.some(({ what }) => what === `nodes/${id}`));

    const refused = path.join(directory, 'refused.tar.gz');
    const env = { WEBSOCKET_CLUSTER_JOIN_TOKEN: canary('join'), WEBSOCKET_BACKUP_ENCRYPTION_KEY: canary('backup'), WEBSOCKET_PORT: 'none' };
    assert.equal((await run(['support-bundle', '--output', refused], { env })).code, 0);
    const entries = unpack(refused);
    assert.ok(JSON.parse(entries.get('MANIFEST.json')).missing.some(({ why }) => why.includes('settings are refused')));
    assert.match(entries.get('config/problems.json'), /WEBSOCKET_PORT/);
    for (const [name, text] of entries) assert.ok(!text.includes('planted-'), name);
  });
});
