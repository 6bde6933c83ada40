// Seen by Prometheus: three nodes under traffic, the shipped rules, alerts and dashboard, and what each family counts.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Cluster, startSingle, temporaryDirectory } from './support/cluster.mjs';
import { ask, FOREIGN, openSocket, OPENING, refusal, Wire } from './support/doors.mjs';
import { ACCEPT, Alertmanager, grown, page, Prometheus, Receiver, since, tool } from './support/prometheus.mjs';
import { Polling, Socket } from './support/raw.mjs';
import { Key } from './support/tokens.mjs';
import { until } from './support/wait.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const SHIPPED = path.join(ROOT, 'deploy/monitoring');
const read = (...parts) => readFileSync(path.join(ROOT, ...parts), 'utf8');
const JOB = 'vedfolnir-websocket';
const TOKEN = 'planted-metrics-0123456789';
const bearer = { Authorization: `Bearer ${TOKEN}` };
const key = Key.secret('planted-secret-0123456789-abcdefghij');

/** Families of docs/metrics.md: name to type. */
const DOCUMENTED = new Map(
  [...read('docs/metrics.md').matchAll(/^\| `([a-z_]+)` \| (counter|gauge|histogram) \|/gm)].map((row) => row.slice(1)),
);
const PANELS = JSON.parse(read('deploy/monitoring/grafana-dashboard.json')).panels;
/** What a panel asks, as Grafana would with all nodes chosen. */
const asked = (expr) => expr.replaceAll('$node', '.*').replaceAll('$__rate_interval', '1m');

/** Pings and the like come when they come. */
const CONTROL = 'websocket_messages_total{direction="out",type="control"}';

/** Panels' expressions that have no series until what they show has happened: here TLS is off, and all connections come about. */
const NEEDS_EVENT = [/^sum by \(reason\) \(rate\(websocket_connections_failed_total/, /websocket_tls_certificate_expiry/];

let single;
before(async () => {
  atEnd(closeClients);
  const directory = temporaryDirectory();
  writeFileSync(path.join(directory, 'token'), `${TOKEN}\n`, { mode: 0o600 });
  single = await startSingle({
    env: {
      WEBSOCKET_METRICS_TOKEN_FILE: path.join(directory, 'token'),
      WEBSOCKET_METRICS_EVENTS: 'chat',
      WEBSOCKET_AUTH_JWT_SECRET: key.secret,
      WEBSOCKET_MAX_CONNECTIONS_PER_IP: '12',
      WEBSOCKET_CONNECTION_TIMEOUT: '1s',
      WEBSOCKET_CONNECT_TIMEOUT: '60s',
      WEBSOCKET_PING_INTERVAL: '1s',
      WEBSOCKET_PING_TIMEOUT: '1s',
    },
  });
  single.tokenFile = path.join(directory, 'token');
  atEnd(() => single.kill());
});

describe('what is shipped', () => {
  test('promtool accepts the example, the rules and their cases', async () => {
    for (const command of ['check config prometheus.yml', 'check rules rules.yml', 'test rules rules_test.yml']) {
      const [verb, what, file] = command.split(' ');
      const { code, output } = await tool('promtool', [verb, what, path.join(SHIPPED, file)]);
      assert.equal(code, 0, output);
    }
  });

  test('every alert has a section in the runbooks, and every section an alert', () => {
    const rules = read('deploy/monitoring/rules.yml');
    const linked = [...rules.matchAll(/runbook_url: docs\/runbooks\.md#(\S+)/g)].map(([, anchor]) => anchor);
    const sections = [...read('docs/runbooks.md').matchAll(/^## (.*)$/gm)].map(([, title]) =>
      title.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-'),
    );
    assert.deepEqual([...new Set(linked)].sort(), sections.sort());
    const alerts = [...rules.matchAll(/- alert: (\S+)/g)].map(([, name]) => name);
    assert.equal(linked.length, alerts.length);
    for (const alert of alerts) assert.match(read('docs/runbooks.md'), new RegExp(`\\b${alert}\\b`));
  });
});

describe('three nodes and Prometheus', () => {
  let cluster;
  let prometheus;
  let receiver;
  const host = (node) => new URL(node.url).host;
  before(async () => {
    // Families of backups are there where backups are.
    const env = { WEBSOCKET_STATE_BACKUP: 'on', WEBSOCKET_BACKUP_ARCHIVE_LOG: 'on', WEBSOCKET_BACKUP_INTERVAL: '1d', WEBSOCKET_BACKUP_LOCATION: temporaryDirectory() };
    cluster = await Cluster.start(3, { env });
    atEnd(() => cluster.stop());
    receiver = await Receiver.start();
    atEnd(() => receiver.stop());
    const alertmanager = await Alertmanager.start(receiver.url);
    atEnd(() => alertmanager.stop());
    const job = (name, nodes, more = {}) => ({
      job_name: name,
      metrics_path: '/websocket/metrics',
      static_configs: [{ targets: nodes.map(host), labels: { cluster: name } }],
      ...more,
    });
    prometheus = await Prometheus.start({
      alertmanager: alertmanager.url,
      rules: read('deploy/monitoring/rules.yml').replace(/^( +for:) .*$/gm, '$1 1s'),
      jobs: [
        job(JOB, cluster.nodes),
        job('with-token', [single], { authorization: { credentials_file: single.tokenFile } }),
        job('without-token', [single]),
      ],
    });
  });
  // What follows counts requests: nobody else may ask.
  after(() => prometheus?.stop());

  test('all are up and one leads, at each of three scrapes', async () => {
    await prometheus.sees(`sum(up{job="${JOB}"})`, (value) => value === 3);
    await prometheus.sees(`min(count_over_time(vedfolnir_raft_is_leader{job="${JOB}"}[1m]))`, (value) => value >= 3);
    assert.equal(await prometheus.value(`sum(sum_over_time(vedfolnir_raft_is_leader{job="${JOB}"}[1m]) > bool 0)`), 1);
    assert.equal(await prometheus.value(`sum(vedfolnir_raft_is_leader{job="${JOB}"})`), 1);
  });

  test('a token is shown from a credentials_file; without it the page is refused', async () => {
    await prometheus.sees('up{job="with-token"}', (value) => value === 1);
    await prometheus.sees('up{job="without-token"}', (value) => value === 0);
    const { activeTargets: targets } = await prometheus.api('targets');
    assert.match(targets.find(({ scrapePool }) => scrapePool === 'without-token').lastError, /401/);
  });

  test('rates are what was driven, and totals exactly: events in, five times as many out', async () => {
    const clients = [];
    for (let index = 0; index < 5; index += 1) clients.push(await connect(`client ${index}`, cluster.urls[index % 3]));
    for (const client of clients) await client.join('room');
    const perSecond = 50;
    const began = performance.now();
    const answers = [];
    const timer = setInterval(() => {
      const due = ((performance.now() - began) / 1000) * perSecond;
      while (answers.length < due) answers.push(clients[0].publish('room', { id: answers.length }));
    }, 10);
    const rate = 'sum(rate(websocket_messages_total{job="vedfolnir-websocket",direction="in",type="event"}[4s]))';
    try {
      await prometheus.sees(rate, (value) => Math.abs(value - perSecond) < 0.2 * perSecond);
    } finally {
      clearInterval(timer);
    }
    await Promise.all(answers);
    for (const client of clients) await client.received(answers.length);
    // One that comes back, for what counts resumes.
    clients[1].drop();
    await clients[1].reconnected();
    await prometheus.sees(`sum(vedfolnir_resumes_total{job="${JOB}",outcome="recovered"})`, (value) => value === 1);
    const total = (labels) => `sum(websocket_messages_total{job="${JOB}",${labels}})`;
    // Each client joined once.
    await prometheus.sees(total('direction="in",type="event"'), (value) => value === answers.length + 5);
    await prometheus.sees(total('direction="out",type="event"'), (value) => value === answers.length * 5);
    const acknowledged = `sum(vedfolnir_publishes_total{job="${JOB}",result="acknowledged"})`;
    await prometheus.sees(acknowledged, (value) => value === answers.length);
    assert.equal(await prometheus.value(`sum(websocket_connections_total{job="${JOB}"})`), 6);
    for (const client of clients) client.close();
  });

  test('docs/metrics.md names exactly the families of the page, with their types', async () => {
    const { families } = await page(await cluster.leader());
    assert.deepEqual(Object.fromEntries([...families].sort()), Object.fromEntries([...DOCUMENTED].sort()));
  });

  test('promtool finds nothing to say about the text form; OpenMetrics says the same to those who ask', async () => {
    for (const node of cluster.nodes) {
      const text = await page(node, { Accept: 'text/plain;version=0.0.4' });
      assert.match(text.type, /^text\/plain; version=0\.0\.4/);
      assert.deepEqual(await tool('promtool', ['check', 'metrics'], text.text), { code: 0, output: '' });
      const open = await page(node, { Accept: ACCEPT });
      assert.match(open.type, /^application\/openmetrics-text; version=1\.0\.0/);
      assert.ok(open.text.endsWith('\n# EOF\n'));
      const canonical = (sample) => sample.replace(/le="([\d.e+-]+)"/, (_, bound) => `le="${Number(bound)}"`);
      const names = ({ samples }) => [...samples.keys()].map(canonical).sort();
      assert.deepEqual(names(open), names(text));
      const kinds = ({ families }) => [...families].map(([name, kind]) => `${name.replace(/_total$/, '')} ${kind}`);
      assert.deepEqual(kinds(open), kinds(text));
    }
  });

  test('Prometheus runs every rule without an error', async () => {
    const { groups } = await prometheus.api('rules');
    const rules = groups.flatMap((group) => group.rules);
    assert.equal(rules.length, (read('deploy/monitoring/rules.yml').match(/^ +- (alert|record): /gm) ?? []).length);
    const running = () => prometheus.api('rules').then(({ groups: all }) => all.flatMap((group) => group.rules));
    const known = async () => (await running()).every(({ health }) => health !== 'unknown');
    await until('every rule has been run', known, { every: 100 });
    assert.deepEqual((await running()).filter(({ health }) => health !== 'ok'), []);
    for (const { query } of rules) await prometheus.query(query);
    assert.ok((await prometheus.value(`cluster:vedfolnir_raft_is_leader:sum{job="${JOB}"}`)) === 1);
  });

  test('every expression of the dashboard runs and has series, but for what waits for an event', async () => {
    const targets = PANELS.flatMap(({ title, targets: all = [] }) => all.map(({ expr }) => ({ title, expr })));
    assert.ok(targets.length > 60);
    const empty = [];
    for (const { title, expr } of targets) {
      const series = await prometheus.query(asked(expr));
      if (series.length === 0 && !NEEDS_EVENT.some((event) => event.test(expr))) empty.push(`${title}: ${expr}`);
    }
    assert.deepEqual(empty, []);
    for (const event of NEEDS_EVENT) assert.ok(targets.some(({ expr }) => event.test(expr)), `${event} is in no panel`);
    const named = targets.flatMap(({ expr }) => expr.match(/\b(?:websocket|vedfolnir|process)_[a-z_]+/g) ?? []);
    const exists = (name) => DOCUMENTED.has(name) || DOCUMENTED.get(name.replace(/_(bucket|sum|count)$/, '')) === 'histogram';
    const unknown = named.filter((name) => !exists(name));
    assert.deepEqual(unknown, []);
  });

  test('a follower that stands still lags behind, as the leader tells, and catches up', async () => {
    const leader = await cluster.leader();
    const [follower] = await cluster.followers();
    const { node_id: id } = await follower.status();
    const client = await connect('publisher', leader.url);
    await client.join('room');
    const lag = `max(vedfolnir_raft_replication_lag_entries{job="${JOB}",node="${id}"})`;
    await prometheus.sees(lag, (value) => value === 0);
    await follower.freeze();
    try {
      for (let id = 0; id < 20; id += 1) await client.publish('room', { id });
      await prometheus.sees(lag, (value) => value > 0);
    } finally {
      follower.signal('SIGCONT');
    }
    await prometheus.sees(lag, (value) => value === 0);
    client.close();
  });

  test('kill -9 of a node fires an alert at a receiver of Alertmanager, and its restart resolves it', async () => {
    await prometheus.sees(`sum(up{job="${JOB}"})`, (value) => value === 3);
    const [node] = await cluster.followers();
    const from = receiver.alerts.length;
    const isOfNode = ({ labels }) => labels.alertname === 'WebSocketServerDown' && labels.instance === host(node);
    const ofNode = () => receiver.alerts.slice(from).filter(isOfNode);
    const came = (status) =>
      until(
        () => `the alert is ${status} (what came: ${JSON.stringify(receiver.alerts.slice(from))})`,
        () => ofNode().find((alert) => alert.status === status),
      );
    await node.kill();
    const firing = await came('firing');
    assert.equal(firing.labels.severity, 'critical');
    assert.equal(firing.annotations.runbook_url, 'docs/runbooks.md#node-down');
    await node.restart();
    assert.equal((await came('resolved')).fingerprint, firing.fingerprint);
  });
});

describe('what is counted', () => {
  const failed = 'websocket_connections_failed_total';
  const good = { auth: { token: key.token({ sub: 'alice' }) } };
  const enter = (name, options) => connect(name, single.url, { ...good, ...options });

  test('ten clients that come and go are ten connections, on either transport, and none stays active', async () => {
    const { samples } = await page(single, bearer);
    const active = async () => (await page(single, bearer)).samples.get('websocket_connections_active');
    const options = [{ transports: ['websocket'] }, { transports: ['polling'] }];
    const clients = [];
    for (let index = 0; index < 8; index += 1) clients.push(await enter(`client ${index}`, options[index % 2]));
    // These two go without a word, as if killed.
    const socket = await openSocket(single.url, good);
    const polling = await Polling.open(single.url, { connect: false });
    assert.ok(polling.sid);
    assert.equal(await active(), 10);
    for (const client of clients) client.close();
    socket.end();
    await until('all are gone', async () => (await active()) === 0);
    assert.deepEqual(await since(single, 'websocket_connections_total', samples, bearer), { websocket_connections_total: 10 });
  });

  test('a session is in one state at a time, and a probe is counted beside it', async (t) => {
    const node = await startSingle();
    t.after(() => node.kill());
    const states = async () => {
      const { samples } = await page(node);
      return ['handshake', 'open', 'upgrading', 'closing'].map((state) => samples.get(`websocket_connection_states{state="${state}"}`));
    };
    const are = (what, ...expected) => until(what, async () => String(await states()) === String(expected));
    assert.deepEqual(await states(), [0, 0, 0, 0]);
    const polling = await Polling.open(node.url, { connect: false });
    await are('it is in no namespace', 1, 0, 0, 0);
    const probe = new Socket(node.url, { sid: polling.sid });
    await until('the WebSocket is open', () => probe.ws.readyState === probe.ws.OPEN);
    probe.send('2probe');
    await are('its probe is counted', 1, 0, 1, 0);
    probe.ws.close();
    const client = await connect('a client in its namespace', node.url, { transports: ['websocket'] });
    await are('another one is in its namespace', 1, 1, 0, 0);
    client.close();
    await are('that one is gone', 1, 0, 0, 0);
  });

  test('batches have a size in commands and in bytes', async () => {
    const { samples } = await page(single, bearer);
    const client = await enter('a publisher');
    for (let index = 0; index < 5; index += 1) await client.publish('nobody', index);
    const grown = async (name) => (await since(single, name, samples, bearer))[name];
    assert.ok((await grown('vedfolnir_batch_commands_count')) >= 5);
    assert.ok((await grown('vedfolnir_batch_commands_sum')) >= 5);
    assert.ok((await grown('vedfolnir_batch_bytes_sum')) > 5 * 16);
    client.close();
  });

  test('operators are told who has the most sessions', async (t) => {
    const node = await startSingle({ env: { WEBSOCKET_AUTH_JWT_SECRET: key.secret } });
    t.after(() => node.kill());
    const users = async (query = '') => (await ask(node.adminUrl, `/users${query}`)).json;
    assert.deepEqual(await users(), { users: [], complete: true });
    const of = (sub) => connect(`a client of ${sub}`, node.url, { auth: { token: key.token({ sub }) } });
    const clients = await Promise.all(['bob', 'carol', 'bob', 'dave', 'bob', 'carol'].map(of));
    assert.deepEqual((await users('?top=2')).users, [{ user: 'bob', sessions: 3 }, { user: 'carol', sessions: 2 }]);
    assert.equal((await users()).users.length, 3);
    for (const client of clients) client.close();
  });

  const full = async () => {
    for (let index = 0; index < 12; index += 1) {
      assert.equal((await ask(single.url, OPENING, { from: '127.0.0.31' })).status, 200);
    }
  };
  const silent = async () => (await Wire.open(single.url)).ended();
  const refusals = [
    ['auth', 'a bad token', () => refusal(single.url, { auth: { token: key.token({ sub: 'alice', exp: 1 }) } })],
    ['auth', 'no token', () => refusal(single.url)],
    ['origin', 'a foreign page', () => ask(single.url, OPENING, { headers: { Origin: FOREIGN } })],
    ['timeout', 'a connection that says nothing', silent],
    ['protocol', 'another version of the protocol', () => ask(single.url, '/socket.io/?EIO=3&transport=polling')],
    ['protocol', 'an unknown session', () => ask(single.url, `${OPENING}&sid=nobody`)],
    ['limit', 'one more than an address may have', () => ask(single.url, OPENING, { from: '127.0.0.31' }), full],
  ];
  for (const [reason, what, work, prepare] of refusals) {
    test(`${what} is one failed connection of reason ${reason}, and an error`, async () => {
      await prepare?.();
      const { samples } = await page(single, bearer);
      await work();
      const counted = () => since(single, failed, samples, bearer);
      await until('it is counted', async () => Object.keys(await counted()).length > 0, { within: 5_000 });
      assert.deepEqual(await counted(), { [`${failed}{reason="${reason}"}`]: 1 });
      const type = { protocol: 'connection', origin: 'refused' }[reason] ?? reason;
      const errors = await since(single, 'websocket_errors_total', samples, bearer);
      assert.deepEqual(errors[`websocket_errors_total{type="${type}"}`], 1);
    });
  }

  test('messages: their number, size, bytes and time', async () => {
    const client = await enter('messages');
    const { samples } = await page(single, bearer);
    const began = performance.now();
    for (let index = 0; index < 100; index += 1) await client.ask('echo', 'x'.repeat(256));
    const took = (performance.now() - began) / 1000;
    const of = async (family, labels = '') => (await since(single, family, samples, bearer))[`${family}${labels}`];
    const { [CONTROL]: _, ...messages } = await since(single, 'websocket_messages_total', samples, bearer);
    assert.deepEqual(messages, {
      'websocket_messages_total{direction="in",type="event"}': 100,
      'websocket_messages_total{direction="out",type="ack"}': 100,
    });
    assert.equal(await of('websocket_message_size_bytes_count'), 100);
    const mean = (await of('websocket_message_size_bytes_sum')) / 100;
    // 2NN["echo","…"] around it.
    assert.ok(mean >= 256 && mean <= 256 + 16, `${mean} bytes`);
    for (const family of ['websocket_received_bytes_total', 'websocket_sent_bytes_total']) {
      const bytes = await of(family);
      assert.ok(bytes >= 25_600 && bytes <= 25_600 + 1_600, `${family}: ${bytes}`);
    }
    assert.equal(await of('websocket_message_processing_seconds_count'), 100);
    assert.equal(await of('websocket_response_seconds_count', '{kind="ack"}'), 100);
    const answered = await of('websocket_response_seconds_sum', '{kind="ack"}');
    assert.ok(answered > 0 && answered < took, `${answered} s of ${took} s`);
    client.close();
  });

  test('an HTTP request is one response, a long poll is none', async () => {
    const family = 'websocket_response_seconds_count';
    const none = await grown(single, family, () => {}, bearer);
    const polling = await Polling.open(single.url, { connect: false });
    const polled = await grown(single, family, () => polling.get(), bearer);
    assert.deepEqual(polled, none, 'the page itself is all');
    const posted = await grown(single, family, () => polling.send('40{}'), bearer);
    assert.equal(posted[`${family}{kind="http"}`], none[`${family}{kind="http"}`] + 1);
  });

  test('a thousand names of events make no series; the one that is listed has its own', async () => {
    const client = await enter('names');
    const family = 'websocket_message_events_total';
    const { samples } = await page(single, bearer);
    for (let index = 0; index < 1000; index += 1) client.socket.emit(`event "${index}" ${Math.random()}`, index);
    for (let index = 0; index < 7; index += 1) client.socket.emit('chat', index);
    await client.ask('echo');
    assert.deepEqual(await since(single, family, samples, bearer), {
      [`${family}{event="chat"}`]: 7,
      [`${family}{event="other"}`]: 1001,
    });
    assert.equal((await page(single, bearer)).samples.size, samples.size);
    client.close();
  });

  test('the buckets that alerts are written for are there in both forms', async () => {
    for (const [accept, one] of [['text/plain', '1'], [ACCEPT, '1.0']]) {
      const { samples } = await page(single, { ...bearer, Accept: accept });
      for (const bound of ['0.1', '0.5', one, '+Inf']) {
        assert.ok(samples.has(`websocket_message_processing_seconds_bucket{le="${bound}"}`), `${bound} in ${accept}`);
      }
    }
  });
});

describe('what is switched off', () => {
  const switches = [
    ['WEBSOCKET_PERFORMANCE_MONITORING', /^process_(?!start_time)|^websocket_operation_/],
    ['WEBSOCKET_CONNECTION_METRICS', /^websocket_connections_/],
    ['WEBSOCKET_MESSAGE_METRICS', /^websocket_messages?_/],
    ['WEBSOCKET_ERROR_METRICS', /^websocket_errors_total$/],
  ];
  for (const [setting, families] of switches) {
    test(`${setting}=false leaves out its families and no other, and limits hold as before`, async (t) => {
      const node = await startSingle({ env: { [setting]: 'false', WEBSOCKET_MAX_CONNECTIONS_PER_SERVER: '1' } });
      t.after(() => node.kill());
      // Without followers the leader has nothing to tell of them, without a schedule nobody of backups.
      const away = (name) => families.test(name) || /_replication_lag_|_last_contact_|^vedfolnir_backups?_/.test(name);
      const left = [...DOCUMENTED.keys()].filter((name) => !away(name));
      assert.deepEqual([...(await page(node)).families.keys()].sort(), left.sort());
      await Polling.open(node.url, { connect: false });
      assert.equal((await ask(node.url)).status, 503);
    });
  }

  test('an event that is listed as "other" is no second series of that name', async (t) => {
    const node = await startSingle({ env: { WEBSOCKET_METRICS_EVENTS: 'other,chat' } });
    t.after(() => node.kill());
    await page(node);
  });
});
