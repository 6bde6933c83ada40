// Backups as JSON documents: what a living cluster looks like in one, the old system's read, the same after a round trip.

import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { planNode, portsOfNode, run, startSingle, temporaryDirectory } from './support/cluster.mjs';
import { Key } from './support/tokens.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

const SECRET = 'a secret that only these tests know, long enough';
const USER_AGENT = 'a test/1.0 (with "quotes")';
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** The example of the production-readiness document. */
const EXAMPLE = {
  metadata: { backup_type: 'full', timestamp: '2025-01-28T10:30:00.000Z', version: '1.0' },
  connections: {
    conn_456: {
      session_id: 'session_123',
      user_id: 1,
      connection_id: 'conn_456',
      namespace: '/user',
      rooms: ['room_1', 'room_2'],
      connected_at: '2025-01-28T10:25:00.000Z',
      last_activity: '2025-01-28T10:29:30.000Z',
      client_info: { ip: '192.168.1.100', user_agent: 'Mozilla/5.0...' },
      subscription_data: { notifications: true, updates: ['type_1', 'type_2'] },
    },
  },
  sessions: {
    session_123: { data: { user_id: 1, platform_id: 1, preferences: { ünïcödé: ['\u{1f600}', { deep: null }], empty: {} } }, timestamp: '2025-01-28T10:25:00.000Z' },
  },
  redis_sessions: { 'vedfolnir:session:session_123': { user_id: 1, username: 'user1', platform_connection_id: 1 } },
};

const backup = (location, args, env = {}) => run(['backup', ...args], { env: { WEBSOCKET_BACKUP_LOCATION: location, ...env } });
async function succeeds(...call) {
  const { code, stdout, stderr } = await backup(...call);
  assert.equal(code, 0, stderr);
  return { stdout, stderr };
}
const exported = async (location, id = 'latest', env = {}) => JSON.parse((await succeeds(location, ['export', id], env)).stdout);
async function refused(pattern, ...call) {
  const { code, stdout, stderr } = await backup(...call);
  assert.equal(code, 1, stderr);
  assert.equal(stdout, '');
  assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
  assert.match(stderr, pattern);
}

describe('a document of a living cluster', { timeout: 120_000 }, () => {
  const location = path.join(temporaryDirectory(), 'backups');
  const env = { WEBSOCKET_BACKUP_LOCATION: location, WEBSOCKET_AUTH_JWT_SECRET: SECRET };
  let node;
  let client;
  before(async () => {
    node = await startSingle({ env });
    atEnd(() => node.kill('SIGKILL'));
    client = await connect('client', node.url, { auth: { token: Key.secret(SECRET).token({ sub: 'ada' }) }, extraHeaders: { 'user-agent': USER_AGENT } });
    await client.join('room_2');
    await client.join('room_1');
  });
  const post = (to, body, type = 'application/json') =>
    fetch(`${node.adminUrl}${to}`, { method: 'POST', headers: { 'content-type': type }, body });

  test('says who is connected, from where, since when and in which rooms', async () => {
    const began = Date.now();
    await succeeds(location, ['create', '--data-dir', node.dataDir]);
    const first = await exported(location);
    const [[id, connection]] = Object.entries(first.connections);
    assert.deepEqual(connection, {
      session_id: client.id,
      user_id: 'ada',
      connection_id: id,
      namespace: '/',
      rooms: ['room_1', 'room_2'],
      connected_at: connection.connected_at,
      last_activity: connection.last_activity,
      client_info: { ip: '127.0.0.1', user_agent: USER_AGENT },
      subscription_data: {},
    });
    for (const instant of [connection.connected_at, connection.last_activity, first.metadata.timestamp]) assert.match(instant, INSTANT);
    assert.ok(Math.abs(Date.parse(connection.connected_at) - began) < 30_000, connection.connected_at);
    assert.ok(node.output().includes(id), 'the log has it under the same name');
    assert.deepEqual(first.sessions[client.id].data, { user_id: 'ada' });
    const { metadata } = first;
    const [listed] = JSON.parse((await succeeds(location, ['list', '--json'])).stdout).backups;
    assert.deepEqual(
      [metadata.backup_type, metadata.version, metadata.backup_id, metadata.checksum, metadata.raft_index, metadata.cluster_id],
      ['full', '1.0', listed.backup_id, listed.checksum, listed.about.raft_index, listed.about.cluster_id],
    );
    assert.deepEqual(metadata.counts, listed.about.counts);

    // Cluster time goes in steps, and a session may publish in the one that it began in.
    const second = await until('it moves with a message', async () => {
      await client.publish('room_1', { id: 1 });
      await succeeds(location, ['create', '--data-dir', node.dataDir]);
      const document = await exported(location);
      return Date.parse(document.connections[id].last_activity) > Date.parse(connection.last_activity) ? document.connections[id] : null;
    });
    assert.equal(second.connected_at, connection.connected_at);
    assert.ok(Date.parse(second.last_activity) >= Date.parse(second.connected_at));
  });

  test('holds what it is to, and goes where it is told', async () => {
    const none = async (setting) => exported(location, 'latest', { [setting]: 'false' });
    assert.deepEqual((await none('WEBSOCKET_PERSIST_CONNECTIONS')).connections, {});
    const [connection] = Object.values((await none('WEBSOCKET_PERSIST_SUBSCRIPTIONS')).connections);
    assert.deepEqual([connection.rooms, connection.subscription_data], [[], {}]);
    assert.deepEqual((await none('WEBSOCKET_PERSIST_SESSION_DATA')).sessions, {});
    const file = path.join(temporaryDirectory(), 'document.json');
    const { stdout } = await succeeds(location, ['export', 'latest', '--output', file]);
    assert.equal(stdout, '');
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(JSON.parse(readFileSync(file)), await exported(location));
    await refused(/File exists.*document\.json/, location, ['export', 'latest', '--output', file]);
    await refused(/there is no backup full_20200101_000000/, location, ['export', 'full_20200101_000000']);
  });

  test('is given and taken by the operators\' listener as well', async () => {
    const { backup_id } = (await exported(location)).metadata;
    const answer = await post('/backups/export', JSON.stringify({ backup_id }));
    assert.equal(answer.status, 200, await answer.clone().text());
    assert.deepEqual(await answer.json(), await exported(location));
    const missing = await post('/backups/export', JSON.stringify({ backup_id: 'full_20200101_000000' }));
    assert.equal(missing.status, 404);
    const imported = await post('/backups/import', JSON.stringify(EXAMPLE));
    const created = await imported.json();
    assert.equal(imported.status, 201, JSON.stringify(created));
    assert.deepEqual(created.imported, { connections: 1, sessions: 1, redis_sessions: 1 });
    // As old as what it holds: nobody takes it for the newest.
    assert.deepEqual([created.backup_id, created.timestamp], ['full_20250128_103000', EXAMPLE.metadata.timestamp]);
    assert.equal((await exported(location)).metadata.backup_id, backup_id);
    assert.deepEqual(await exported(location, created.backup_id), EXAMPLE);
    const bad = await post('/backups/import', '{"metadata": {"version": "9.0"');
    assert.equal(bad.status, 422);
    assert.match((await bad.json()).error, /not in the layout of a backup/);
    assert.ok(client.socket.connected && (await node.status()).sessions !== 0, 'the living state stays as it is');
  });

  test('without sessions or rooms in the backup, they are not there after a restore either', async () => {
    const small = path.join(temporaryDirectory(), 'backups');
    const other = await startSingle({ env: { WEBSOCKET_PERSIST_SUBSCRIPTIONS: 'false' } });
    atEnd(() => other.kill('SIGKILL'));
    const guest = await connect('guest', other.url);
    await guest.join('room');
    await succeeds(small, ['create', '--data-dir', other.dataDir]);
    const restored = async (json = []) =>
      JSON.parse((await succeeds(small, ['restore', 'latest', '--dry-run', '--json', '--data-dir', path.join(temporaryDirectory(), 'data'), ...json])).stdout);
    const [connection] = Object.values((await exported(small)).connections);
    assert.deepEqual([connection.rooms, (await restored()).sessions], [[], 1]);
    await other.kill('SIGKILL');
    other.env = { ...other.env, WEBSOCKET_PERSIST_SESSION_DATA: 'false' };
    await other.restart();
    await guest.reconnected();
    await succeeds(small, ['create', '--data-dir', other.dataDir]);
    assert.deepEqual([(await restored()).sessions, (await exported(small)).connections], [0, {}]);
  });
});

describe('a document of the old system', { timeout: 120_000 }, () => {
  const directory = temporaryDirectory();
  const location = path.join(directory, 'backups');
  const file = (name, content) => {
    const to = path.join(directory, name);
    writeFileSync(to, typeof content === 'string' ? content : JSON.stringify(content));
    return to;
  };

  test('becomes a cluster, and is the same document when it comes out again', async () => {
    const { stdout } = await succeeds(location, ['import', file('old.json', EXAMPLE)]);
    assert.match(stdout, /1 connections, 1 sessions and 1 redis_sessions/);
    assert.deepEqual(await exported(location), EXAMPLE);
    const dataDir = path.join(directory, 'data');
    const restored = JSON.parse((await succeeds(location, ['restore', 'latest', '--json', '--data-dir', dataDir])).stdout);
    assert.deepEqual([restored.recovered_connections, restored.sessions, restored.kv_entries], [1, 1, 2]);
    const node = planNode('node', directory, await portsOfNode(), { dataDir });
    await node.spawn().ready();
    atEnd(() => node.kill('SIGKILL'));
    const client = await connect('client', node.url);
    await client.join('room_1');
    await client.publish('room_1', { id: 1 });
    await client.received(1);
  });

  test('that cannot be taken as a whole is refused with the place and the reason, and nothing is made of it', async () => {
    const other = path.join(directory, 'others');
    const changed = (change) => {
      const document = structuredClone(EXAMPLE);
      change(document);
      return document;
    };
    const cases = [
      [changed((document) => (document.metadata.version = '9.0')), /the document is of version "9\.0"; supported: "1\.0"/],
      [changed((document) => (document.connections.conn_456.namespace = 'user')), /connections\.conn_456: "user" is no namespace/],
      [changed((document) => (document.redis_sessions = { other: {} })), /redis_sessions\.other: its key does not begin with "vedfolnir:session:"/],
      [changed((document) => (document.sessions.session_123.more = 1)), /unknown field `more`/],
      ['{"metadata": ', /not in the layout of a backup: EOF/],
    ];
    for (const [index, [content, pattern]] of cases.entries()) await refused(pattern, other, ['import', file(`bad-${index}.json`, content)]);
    await refused(/No such file/, other, ['import', path.join(directory, 'nowhere.json')]);
    const { backups } = JSON.parse((await succeeds(other, ['list', '--json'])).stdout);
    assert.deepEqual(backups, []);
  });
});
