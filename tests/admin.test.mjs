// The operators' doors: tokens and roles, the command line and the socket, the audit log; and what the public has no door to.

import assert from 'node:assert/strict';
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { Cluster, run, startSingle, temporaryDirectory } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { ask, askUpgrade, get, logLines, OPENING, securityLines, TELLING, Wire } from './support/doors.mjs';
import { until } from './support/wait.mjs';

const TOKENS = {
  read: 'planted-read-0123456789',
  operate: 'planted-operate-0123456789',
  admin: 'planted-admin-0123456789',
};
const directory = temporaryDirectory();
function tokenFile(name, text) {
  const file = path.join(directory, name);
  writeFileSync(file, text);
  chmodSync(file, 0o600);
  return file;
}
const files = Object.fromEntries(Object.entries(TOKENS).map(([role, token]) => [role, tokenFile(role, `${token}\n`)]));

const bearer = (token) => ({ Authorization: `Bearer ${token}` });
const JSON_BODY = { 'Content-Type': 'application/json' };
/** A request to a node's operators' listener with a role's token. */
const as = (role, node, asked, { from } = {}) =>
  ask(node.adminUrl, asked, { from, headers: role ? bearer(TOKENS[role]) : {} });
const post = (role, node, asked, body = {}, headers = {}) =>
  ask(node.adminUrl, asked, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { ...JSON_BODY, ...(role ? bearer(TOKENS[role]) : {}), ...headers },
  });

describe('with tokens', () => {
  let cluster;
  let node;
  before(async () => {
    cluster = await Cluster.start(2, {
      options: TELLING,
      wait: false,
      env: {
        WEBSOCKET_ADMIN_TOKEN_FILE: files.admin,
        WEBSOCKET_ADMIN_OPERATE_TOKEN_FILE: files.operate,
        WEBSOCKET_ADMIN_READ_TOKEN: TOKENS.read,
      },
    });
    atEnd(() => cluster.stop());
    await Promise.all(cluster.nodes.map((one) => one.ready()));
    [node] = cluster.nodes;
    await leader();
  });

  /** The id of the node that leads, once both nodes say the same. */
  const leader = () =>
    until('both nodes agree on a leader', async () => {
      const views = await Promise.all(cluster.nodes.map(async (one) => (await as('read', one, '/status')).json));
      return views[0]?.leader && views[0].leader === views[1]?.leader ? views[0].leader : null;
    });
  const audits = () =>
    cluster.nodes.flatMap((one) => logLines(one).filter(({ event_type: type }) => type === 'admin_action'));
  const levels = (role, body) =>
    ask(node.adminUrl, '/log-level', { method: 'PUT', body: JSON.stringify(body), headers: { ...JSON_BODY, ...bearer(TOKENS[role]) } });
  const changes = ['/members/remove', '/leave', '/leadership/transfer', '/tokens/join'];

  test('without a token every request is answered with 401: those that read, those that change, health and metrics', async () => {
    for (const asked of ['/status', '/members', '/websocket/metrics', '/websocket/health', '/']) {
      const { status, headers, text } = await as(null, node, asked, { from: '127.0.0.71' });
      assert.ok(status === 401 || status === 429, `${asked} was answered ${status}`);
      if (status === 401) assert.match(headers['www-authenticate'], /^Bearer/);
      assert.ok(!text.includes('leader'));
    }
    assert.equal(
      (await ask(node.adminUrl, '/leave', { method: 'POST', body: '{}', headers: JSON_BODY, from: '127.0.0.72' }))
        .status,
      401,
    );
    for (const value of [`Basic ${TOKENS.admin}`, TOKENS.admin, `Bearer ${TOKENS.admin}x`, 'Bearer ']) {
      const { status } = await ask(node.adminUrl, '/status', { headers: { Authorization: value }, from: '127.0.0.73' });
      assert.equal(status, 401, value);
    }
  });

  test('the log\'s levels are shown to each of them, and changed by those who operate', async () => {
    assert.equal((await as('read', node, '/log-level')).status, 200);
    const body = { category: 'connection', level: 'INFO' };
    assert.equal((await levels('read', body)).status, 403);
    for (const role of ['operate', 'admin']) assert.equal((await levels(role, body)).status, 200, role);
    const page = await ask(node.adminUrl, '/log-level', {
      method: 'PUT', body: JSON.stringify(body), headers: { ...JSON_BODY, ...bearer(TOKENS.admin), Origin: 'https://evil.example' },
    });
    assert.equal(page.status, 403, 'no page does');
  });

  test('each of the three tokens reads; one in the query is none', async () => {
    for (const role of Object.keys(TOKENS)) {
      for (const asked of ['/status', '/members', '/websocket/metrics'])
        assert.equal((await as(role, node, asked)).status, 200, `${role} ${asked}`);
    }
    assert.equal((await ask(node.adminUrl, `/status?token=${TOKENS.admin}`, { from: '127.0.0.74' })).status, 401);
  });

  test('the read token changes nothing: 403, and the leader stays', async () => {
    const before = await leader();
    for (const asked of changes) assert.equal((await post('read', node, asked)).status, 403, asked);
    assert.equal(await leader(), before);
    assert.ok(cluster.nodes.every(({ alive }) => alive));
  });

  test('the operate token transfers the leadership and does nothing else', async () => {
    for (const asked of changes.filter((change) => change !== '/leadership/transfer')) {
      assert.equal((await post('operate', node, asked, { node: 'x', force: true, ttl_ms: 60_000 })).status, 403, asked);
    }
    const before = await leader();
    const { status, json } = await post('operate', node, '/leadership/transfer', { node: null });
    assert.equal(status, 200);
    assert.notEqual(json.leader, before);
    assert.equal(await leader(), json.leader);
    assert.ok(cluster.nodes.every(({ alive }) => alive));
  });

  test('the admin token does everything', async () => {
    const before = await leader();
    const { status, json } = await post('admin', node, '/leadership/transfer', { node: null });
    assert.equal(status, 200);
    assert.notEqual(json.leader, before);
    const removed = await post('admin', node, '/members/remove', { node: 'nobody', force: false });
    assert.ok(![401, 403, 429].includes(removed.status) && removed.status >= 400, `${removed.status} ${removed.text}`);
  });

  test('after five wrong tries of one address not even the right token is looked at: 429 with Retry-After; other addresses and the socket are not meant', async () => {
    const wrong = (from, token) => ask(node.adminUrl, '/status', { headers: token ? bearer(token) : {}, from });
    for (let index = 0; index < 5; index += 1)
      assert.equal((await wrong('127.0.0.81', `wrong-token-${index}`)).status, 401);
    const { status, headers } = await wrong('127.0.0.81', 'wrong-token-5');
    assert.equal(status, 429);
    assert.match(headers['retry-after'], /^[1-9]\d*$/);
    assert.equal((await wrong('127.0.0.81', TOKENS.admin)).status, 429);
    assert.equal((await wrong('127.0.0.82', 'wrong-token')).status, 401);
    assert.equal((await wrong('127.0.0.82', TOKENS.admin)).status, 200);
    assert.equal((await run(['status', '--data-dir', node.dataDir])).code, 0);
    const suspected = () => securityLines(node).findLast(({ event_type: type }) => type === 'brute_force_suspected');
    await until('the log says so', suspected);
    assert.deepEqual([suspected().level, suspected().client_ip], ['CRITICAL', '127.0.0.81']);
  });

  test('a web page gets nothing done, not even with a token', async () => {
    for (const origin of ['https://evil.example', node.adminUrl]) {
      assert.equal((await post('admin', node, '/leadership/transfer', { node: null }, { Origin: origin })).status, 403);
    }
    const plain = await ask(node.adminUrl, '/leadership/transfer', {
      method: 'POST',
      body: '{"node":null}',
      headers: { ...bearer(TOKENS.admin), 'Content-Type': 'text/plain' },
    });
    assert.equal(plain.status, 415);
  });

  describe('the command line', () => {
    const at = () => ['--addr', node.adminUrl];

    test('status, members and transfer-leadership work with --token-file, and with the variables that the node takes', async () => {
      for (const command of ['status', 'members']) {
        for (const [args, env] of [
          [['--token-file', files.read], {}],
          [[], { WEBSOCKET_ADMIN_TOKEN_FILE: files.admin }],
          [[], { WEBSOCKET_ADMIN_TOKEN: TOKENS.operate }],
        ]) {
          const { code, stdout, stderr } = await run([command, ...at(), ...args, '--json'], { env });
          assert.equal(code, 0, stderr);
          assert.equal(JSON.parse(stdout).leader, await leader());
        }
      }
      const before = await leader();
      const { code, stdout, stderr } = await run(['transfer-leadership', ...at(), '--token-file', files.operate]);
      assert.equal(code, 0, stderr);
      assert.notEqual(await leader(), before);
      assert.ok(stdout.includes(await leader()), stdout);
    });

    test('without a token, or with one that does not do, it fails and says what is needed', async () => {
      const before = await leader();
      const cases = [
        [['status', ...at()], /token/i],
        [['members', ...at()], /token/i],
        [['transfer-leadership', ...at(), '--token-file', files.read], /role|operate|403/i],
        [['status', ...at(), '--token-file', path.join(directory, 'absent')], /--token-file/],
      ];
      for (const [args, says] of cases) {
        const { code, stdout, stderr } = await run(args);
        assert.notEqual(code, 0, args.join(' '));
        assert.match(stdout + stderr, says, args.join(' '));
        assert.ok(!(stdout + stderr).includes('planted'));
      }
      assert.equal(await leader(), before);
    });

    test('the socket in the data directory needs no token, and is for its owner only', async () => {
      const socket = path.join(node.dataDir, 'admin.sock');
      assert.equal(statSync(socket).mode & 0o777, 0o600);
      for (const command of ['status', 'members']) {
        const { code, stdout, stderr } = await run([command, '--data-dir', node.dataDir, '--json']);
        assert.equal(code, 0, stderr);
        assert.equal(JSON.parse(stdout).leader, await leader());
      }
      const before = await leader();
      const { code, stderr } = await run(['transfer-leadership', '--addr', `unix:${socket}`]);
      assert.equal(code, 0, stderr);
      assert.notEqual(await leader(), before);
    });
  });

  describe('the audit log', () => {
    test('has one line for each change: who, from where, what, and what came of it; reading leaves none', async () => {
      const before = audits().length;
      await as('admin', node, '/status');
      await as('read', node, '/members');
      assert.equal((await post('operate', node, '/leadership/transfer', { node: null })).status, 200);
      const removal = await post('admin', node, '/members/remove', { node: 'nobody', force: false });
      assert.equal((await run(['transfer-leadership', '--data-dir', node.dataDir])).code, 0);
      await until('three lines are there', () => audits().length >= before + 3);
      const lines = audits().slice(before);
      assert.deepEqual(
        lines.map(({ role, method, path: changed, status, category }) => [category, role, method, changed, status]),
        [
          ['security', 'operate', 'POST', '/leadership/transfer', 200],
          ['security', 'admin', 'POST', '/members/remove', removal.status],
          ['security', 'admin', 'POST', '/leadership/transfer', 200],
        ],
      );
      assert.deepEqual([lines[0].client_ip, lines[0].door], ['127.0.0.1', 'listener']);
      assert.deepEqual([lines[2].client_ip, lines[2].door], [undefined, 'socket']);
    });

    test('has a line for what a role did not allow, too', async () => {
      const before = securityLines(node).length;
      await post('read', node, '/leave');
      await until('there is a line more', () => securityLines(node).length > before);
      const line = securityLines(node).at(-1);
      assert.deepEqual([line.role, line.path, line.client_ip], ['read', '/leave', '127.0.0.1']);
    });

    test('no token, right or wrong, is in any log', () => {
      for (const one of cluster.nodes) assert.doesNotMatch(one.output(), /planted|wrong-token/);
    });
  });
});

describe('the public port', () => {
  let node;
  before(async () => {
    node = await startSingle({
      options: TELLING,
      env: { WEBSOCKET_METRICS_TOKEN: 'planted-metrics-0123456789', WEBSOCKET_ADMIN_TOKEN: TOKENS.admin },
    });
    atEnd(() => node.kill());
  });

  test('has no door of the operators: 404, with a token as without', async () => {
    for (const asked of [
      '/status',
      '/members',
      '/admin',
      '/leave',
      '/leadership/transfer',
      '/tokens/join',
      '/members/remove',
      '/config',
      '/debug',
    ]) {
      for (const method of ['GET', 'POST']) {
        const { status, text } = await ask(node.url, asked, {
          method,
          headers: { ...bearer(TOKENS.admin), ...JSON_BODY },
          body: method === 'POST' ? '{}' : undefined,
        });
        assert.equal(status, 404, `${method} ${asked}`);
        assert.equal(text, '');
      }
    }
  });

  test('tells nobody where its files are or how its cluster is reached', async () => {
    const { json: status } = await as('admin', node, '/status');
    const { port: adminPort } = new URL(node.adminUrl);
    for (const asked of [
      '/',
      '/websocket/health',
      '/websocket/health/ready',
      '/websocket/health/live',
      '/nowhere',
      OPENING,
    ]) {
      const { text, headers } = await ask(node.url, asked);
      const whole = text + JSON.stringify(headers);
      for (const secret of [status.data_dir, status.cluster_id, node.clusterAddr, `:${adminPort}`])
        assert.ok(!whole.includes(secret), `${asked} tells ${secret}`);
    }
  });

  test('metrics ask for their token and for no other; health checks ask for none', async () => {
    const metrics = (headers) => ask(node.url, '/websocket/metrics', { headers });
    const refused = await metrics({});
    assert.equal(refused.status, 401);
    assert.match(refused.headers['www-authenticate'], /^Bearer/);
    assert.ok(!refused.text.includes('websocket_'));
    for (const token of ['planted-metrics', 'planted-metrics-01234567890', TOKENS.admin])
      assert.equal((await metrics(bearer(token))).status, 401);
    const answered = await metrics(bearer('planted-metrics-0123456789'));
    assert.equal(answered.status, 200);
    assert.match(answered.text, /^websocket_connections_total /m);
    assert.equal((await ask(node.url, '/websocket/health')).status, 200);
    assert.equal((await as('admin', node, '/websocket/metrics')).status, 200);
    assert.doesNotMatch(node.output(), /planted/);
  });

  test('every answer has the security headers and none names the server; HTTPS is not demanded over plain HTTP', async () => {
    const asked = [
      [OPENING, 200],
      ['/socket.io/?EIO=3&transport=polling', 400],
      ['/nowhere', 404],
      ['/', 200],
      ['/websocket/health', 200],
      ['/websocket/metrics', 401],
    ];
    for (const [target, expected] of asked) {
      const { status, headers } = await ask(node.url, target);
      assert.equal(status, expected, target);
      assert.equal(headers['x-content-type-options'], 'nosniff', target);
      assert.equal(headers['x-frame-options'], 'DENY', target);
      assert.equal(headers['referrer-policy'], 'no-referrer', target);
      assert.match(headers['content-security-policy'], /default-src 'none'/, target);
      assert.ok(headers['permissions-policy'], target);
      assert.equal(headers['strict-transport-security'], undefined, target);
      assert.equal(headers.server, undefined, target);
      assert.equal(headers['x-powered-by'], undefined, target);
    }
    assert.equal((await askUpgrade(node.url)).headers.server, undefined);
    assert.equal((await as('admin', node, '/status')).headers.server, undefined);
  });

  test('a WebSocket handshake with a bad key gets 400 and a reason in JSON; with a good one 101', async () => {
    const { status, json } = await askUpgrade(node.url, { headers: { 'Sec-WebSocket-Key': 'test' } });
    assert.equal(status, 400);
    assert.equal(typeof json?.message, 'string');
    const wire = (await Wire.open(node.url)).send(
      get(
        '/socket.io/',
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: test',
      ),
    );
    await wire.saw(/^HTTP\/1\.1 400 [^]*\r\n\r\n\{.*"message"/);
    wire.socket.destroy();
    assert.equal((await askUpgrade(node.url)).status, 101);
  });
});

describe('settings', () => {
  test('a changed token of the operators takes effect at SIGHUP, and the old one is none then', async () => {
    const file = tokenFile('changing', 'planted-first-0123456789');
    const node = await startSingle({ options: TELLING, env: { WEBSOCKET_ADMIN_TOKEN_FILE: file } });
    atEnd(() => node.kill());
    const status = async (token) => (await ask(node.adminUrl, '/status', { headers: bearer(token) })).status;
    assert.equal(await status('planted-first-0123456789'), 200);
    tokenFile('changing', 'planted-second-0123456789');
    node.signal('SIGHUP');
    // Only the old one is asked with: wrong tries are few.
    await until('the old token is none', async () => (await status('planted-first-0123456789')) === 401, {
      within: 5_000,
    });
    assert.equal(await status('planted-second-0123456789'), 200);
  });

  test('a changed token of the metrics takes effect at SIGHUP, and the old one is none then', async () => {
    const file = tokenFile('metrics', 'planted-first-0123456789');
    const node = await startSingle({ options: TELLING, env: { WEBSOCKET_METRICS_TOKEN_FILE: file } });
    atEnd(() => node.kill());
    const scrape = async (token) => (await ask(node.url, '/websocket/metrics', { headers: bearer(token) })).status;
    assert.equal(await scrape('planted-first-0123456789'), 200);
    tokenFile('metrics', 'planted-second-0123456789');
    node.signal('SIGHUP');
    await until('the new token works', async () => (await scrape('planted-second-0123456789')) === 200, {
      within: 5_000,
    });
    assert.equal(await scrape('planted-first-0123456789'), 401);
  });

  test('without security headers there are none', async () => {
    const node = await startSingle({ env: { WEBSOCKET_SECURITY_HEADERS: 'false' } });
    atEnd(() => node.kill());
    const { headers } = await ask(node.url);
    for (const name of ['x-content-type-options', 'x-frame-options', 'content-security-policy'])
      assert.equal(headers[name], undefined);
  });

  test('a listener beyond this machine without a token, and a token that can be guessed, are refused before the start', async () => {
    for (const [env, named] of [
      [{ WEBSOCKET_ADMIN_BIND: '0.0.0.0:0' }, /WEBSOCKET_ADMIN_BIND/],
      [{ WEBSOCKET_ADMIN_TOKEN: 'short' }, /WEBSOCKET_ADMIN_TOKEN/],
      [{ WEBSOCKET_ADMIN_READ_TOKEN: '0123456789abcde' }, /WEBSOCKET_ADMIN_READ_TOKEN/],
    ]) {
      const { code, stdout, stderr } = await run(['config', 'check'], { env });
      assert.equal(code, 78, JSON.stringify(env));
      assert.match(stdout + stderr, named);
      assert.doesNotMatch(stdout + stderr, /'short'|0123456789abcde/);
    }
  });
});
