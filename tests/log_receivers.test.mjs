// A node's log as it arrives elsewhere: a real rsyslogd over UDP, TCP and TLS, a receiver over HTTP; and what arrives nowhere.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { Authority } from './support/certificates.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { run, startSingle, temporaryDirectory } from './support/cluster.mjs';
import { ask, FOREIGN, metric, OPENING, openSocket, refusal } from './support/doors.mjs';
import {
  assertContiguous, assertSchema, awaitEnd, catalogue, HOSTILE_CHARACTERS, HttpSink, linesOf, ofType, recordsOf, sessions,
} from './support/log_sinks.mjs';
import { Rsyslog } from './support/rsyslog.mjs';
import { Key } from './support/tokens.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

const authority = new Authority();
const SECRET = 'a-shared-secret-of-these-tests-0123456789';
const key = Key.secret(SECRET);
const AGENT = 'agent/"\\ \t{"timestamp":"forged"}]';
let rsyslog;
let types;
before(async () => {
  types = new Set((await catalogue()).map(({ event_type: type }) => type));
  rsyslog = await Rsyslog.start({ authority, leaf: authority.issue('rsyslog') });
  atEnd(() => rsyslog.stop());
});

async function start(env) {
  const log = path.join(temporaryDirectory(), 'websocket.log');
  const node = await startSingle({
    env: { WEBSOCKET_JSON_LOGGING: 'true', WEBSOCKET_LOG_FILE: log, WEBSOCKET_REMOTE_LOGGING: 'true', ...env },
  });
  node.records = log;
  atEnd(() => node.kill());
  return node;
}

async function sink() {
  const receiver = await HttpSink.start();
  atEnd(() => receiver.stop());
  return receiver;
}

const refused = (node) => ask(node.url, OPENING, { headers: { Origin: FOREIGN } });
/** The messages of one node, and of one of its sessions. */
const from = (node) => rsyslog.received.filter(({ procid, programname, rawmsg }) =>
  programname === 'vedfolnir' && (procid === String(node.pid) || rawmsg.includes(`vedfolnir[${node.pid}]`)));
const about = (node, session) => from(node).filter(({ record }) => record.session_id === session);
const came = (node, session) => until(
  () => `session ${session} came to rsyslog; last: ${JSON.stringify(rsyslog.received.at(-1))}`,
  () => about(node, session)[0],
);

describe('syslog', () => {
  for (const transport of ['udp', 'tcp', 'tls']) {
    test(`RFC 5424 over ${transport}: rsyslog understands every part, and the text is the file's line`, async () => {
      const node = await start({
        WEBSOCKET_SYSLOG_SERVER: transport === 'udp' ? rsyslog.url(transport).slice('udp://'.length) : rsyslog.url(transport),
        WEBSOCKET_SYSLOG_TLS_CA: authority.root,
      });
      const [id] = await sessions(node.url, 1, { headers: { 'user-agent': AGENT } });
      const message = await came(node, id);
      const { record } = message;
      assert.deepEqual(
        [message.pri, message['protocol-version'], message['app-name'], message.procid, message.msgid],
        ['134', '1', 'vedfolnir', String(node.pid), 'connection_established'],
      );
      assert.deepEqual([message['syslogfacility-text'], message['syslogseverity-text']], ['local0', 'info']);
      assert.equal(
        message['structured-data'],
        `[vedfolnir@32473 seq="${record.seq}" session_id="${id}" connection_id="${record.connection_id}"]`,
      );
      assert.equal(message.inputname, transport === 'udp' ? 'imudp' : 'imtcp');
      const stamp = /^<134>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) /.exec(message.rawmsg)?.[1];
      assert.equal(stamp, record.timestamp, message.rawmsg);
      assert.equal(record.user_agent, AGENT);
      await refused(node);
      const warning = await until('a warning came', () => from(node).find(({ msgid }) => msgid === 'blocked_origin'));
      assert.equal(warning.pri, '132');
      await awaitEnd(node.records, id);
      // All of it, equal to the file's.
      await until('all lines came', () => {
        const records = from(node).map(({ record: own }) => own);
        assert.deepEqual(records, recordsOf(node.records));
        return true;
      });
      assertSchema(from(node).map(({ record: own }) => own), types);
      assert.doesNotMatch(readFileSync(rsyslog.messages, 'utf8'), HOSTILE_CHARACTERS);
    });
  }

  test('RFC 3164 on request, with another facility: protocol version 0, the same text', async () => {
    const node = await start({
      WEBSOCKET_SYSLOG_SERVER: rsyslog.url('tcp'), WEBSOCKET_SYSLOG_FORMAT: 'rfc3164', WEBSOCKET_SYSLOG_FACILITY: 'local3',
    });
    const [id] = await sessions(node.url, 1);
    const message = await came(node, id);
    assert.deepEqual([message['protocol-version'], message.pri, message.programname], ['0', '158', 'vedfolnir']);
    assert.match(message.rawmsg, /^<158>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ vedfolnir\[\d+\]: \{/);
    assert.deepEqual(message.record, recordsOf(node.records).find(({ seq }) => seq === message.record.seq));
  });

  test('CRITICAL comes with severity 2: wrong operators\' tokens, one after the other', async () => {
    const node = await start({ WEBSOCKET_SYSLOG_SERVER: rsyslog.url('tcp'), WEBSOCKET_ADMIN_TOKEN: 'a-good-token-of-the-operators' });
    for (let index = 0; index < 7; index += 1) {
      await ask(node.adminUrl, '/status', { headers: { authorization: `Bearer wrong-canary-token-${index}` } });
    }
    const message = await until('it came', () => from(node).find(({ msgid }) => msgid === 'brute_force_suspected'));
    assert.deepEqual([message.pri, message.record.level, message.record.category], ['130', 'CRITICAL', 'security']);
    assert.equal(ofType(recordsOf(node.records), 'admin_authentication_failed').length >= 5, true);
    assert.ok(!linesOf(node.records).join('').includes('canary'));
  });

  test('a receiver that goes away disturbs no client, and lines flow again when it is back', async () => {
    const node = await start({ WEBSOCKET_SYSLOG_SERVER: rsyslog.url('tcp') });
    const client = await connect('witness', node.url);
    await came(node, client.id);
    await rsyslog.stop();
    await sessions(node.url, 20);
    assert.deepEqual(await client.ask('echo', 1), [1]);
    await until('it is counted', async () => (await metric(node, 'vedfolnir_log_errors_total', { sink: 'syslog' })) > 0);
    await until('standard error says so', () => node.output().includes('log_sink_failed'));
    const [id] = await sessions(node.url, 1);
    await rsyslog.run();
    await came(node, id);
    await until('it is told that it is over', () => node.output().includes('log_sink_recovered'));
    assert.deepEqual([client.connects.length, client.disconnects.length], [1, 0]);
    assert.equal(await metric(node, 'vedfolnir_log_dropped_total', { sink: 'syslog' }), 0);
  });

  test('a TLS receiver whose certificate is of another authority gets nothing', async () => {
    const stranger = new Authority();
    const node = await start({ WEBSOCKET_SYSLOG_SERVER: rsyslog.url('tls'), WEBSOCKET_SYSLOG_TLS_CA: stranger.root });
    await sessions(node.url, 1);
    await until('it is counted', async () => (await metric(node, 'vedfolnir_log_errors_total', { sink: 'syslog' })) > 0);
    assert.deepEqual(from(node), []);
    await until('standard error names it', () => /log_sink_failed.*syslog/.test(node.output()));
  });
});

describe('over HTTP', () => {
  test('gzipped NDJSON with a bearer token, which is in no line; the same lines as in the file, and as in syslog', async () => {
    const receiver = await sink();
    const file = path.join(temporaryDirectory(), 'token');
    writeFileSync(file, 'canary-of-the-aggregation\n', { mode: 0o600 });
    const node = await start({
      WEBSOCKET_LOG_AGGREGATION_SERVICE: receiver.url, WEBSOCKET_LOG_AGGREGATION_TOKEN_FILE: file,
      WEBSOCKET_SYSLOG_SERVER: rsyslog.url('tcp'), WEBSOCKET_LOG_LEVEL: 'TRACE',
    });
    const ids = await sessions(node.url, 10);
    await awaitEnd(node.records, ids.at(-1));
    const marked = (records) => records.filter(({ category }) => category === 'connection');
    await until('all lines came', () => {
      assert.deepEqual(marked(receiver.records), marked(recordsOf(node.records)));
      assert.deepEqual(marked(from(node).map(({ record }) => record)), marked(recordsOf(node.records)));
      return true;
    });
    for (const request of receiver.requests) {
      assert.deepEqual([request.method, request.url], ['POST', '/api/ingest']);
      const { authorization, 'content-type': type, 'content-encoding': coding } = request.headers;
      assert.deepEqual([authorization, type, coding], ['Bearer canary-of-the-aggregation', 'application/x-ndjson', 'gzip']);
      assert.ok(request.body.length <= 1_000_000 && request.body.endsWith('\n'));
    }
    assertSchema(receiver.records, types);
    assertContiguous(receiver.records, 1);
    for (const text of [readFileSync(node.records, 'utf8'), node.output(), ...receiver.requests.map(({ body }) => body)]) {
      assert.ok(!text.includes('canary-of-the-aggregation'));
    }
  });

  test('429 with Retry-After is tried again then, 503 as well, 400 is dropped and counted; nothing else is lost', async () => {
    const receiver = await sink();
    const answers = [{ status: 429, headers: { 'retry-after': '2' } }, { status: 503 }];
    receiver.answer = () => answers.shift() ?? { status: 204 };
    const node = await start({ WEBSOCKET_LOG_AGGREGATION_SERVICE: receiver.url });
    const client = await connect('witness', node.url);
    await until('the line came', () => receiver.records.some(({ session_id: own }) => own === client.id));
    const [first, second, third] = receiver.requests;
    assert.deepEqual([first.status, second.status, third.status], [429, 503, 204]);
    assert.ok(second.at - first.at >= 1_900, `Retry-After: 2 was answered after ${second.at - first.at} ms`);
    assertContiguous(receiver.records, 1);
    receiver.answer = () => ({ status: 400 });
    const count = receiver.requests.length;
    await sessions(node.url, 3);
    await until('it is counted', async () => (await metric(node, 'vedfolnir_log_dropped_total', { sink: 'http' })) > 0);
    const rejected = receiver.requests.slice(count).filter(({ status }) => status === 400);
    receiver.answer = () => ({ status: 204 });
    const [id] = await sessions(node.url, 1);
    await until('lines flow again', () => receiver.records.some(({ session_id: own }) => own === id));
    assert.equal(new Set(rejected.map(({ body }) => body)).size, rejected.length, 'a batch that was rejected came again');
    const lost = rejected.flatMap(({ body }) => body.trim().split('\n')).filter((line) => JSON.parse(line).seq).length;
    assertContiguous([...receiver.records, ...rejected.flatMap(({ body }) => body.trim().split('\n').map((line) => JSON.parse(line)))], 1);
    assert.ok((await metric(node, 'vedfolnir_log_dropped_total', { sink: 'http' })) >= lost);
    assert.deepEqual([client.connects.length, client.disconnects.length], [1, 0]);
  });

  test('a receiver that never answers stalls nothing: clients come, speak and go, and health is good', async () => {
    const receiver = await sink();
    receiver.answer = () => null;
    const node = await start({ WEBSOCKET_LOG_AGGREGATION_SERVICE: receiver.url });
    await until('it was asked', () => receiver.requests.length > 0);
    const client = await connect('witness', node.url);
    await sessions(node.url, 50);
    for (let index = 0; index < 20; index += 1) assert.deepEqual(await client.ask('echo', index), [index]);
    assert.equal((await node.health()).status, 200);
    assert.ok((await metric(node, 'vedfolnir_log_queued_lines', { sink: 'http' })) >= 50);
    await awaitEnd(node.records, (await sessions(node.url, 1))[0]);
    // Nor does it hold up the end.
    assert.equal((await node.kill('SIGTERM', 15_000)).code, 0);
  });

  test('with WEBSOCKET_REMOTE_LOGGING=false nothing is sent anywhere', async () => {
    const receiver = await sink();
    const node = await start({
      WEBSOCKET_REMOTE_LOGGING: 'false', WEBSOCKET_LOG_AGGREGATION_SERVICE: receiver.url, WEBSOCKET_SYSLOG_SERVER: rsyslog.url('udp'),
    });
    const [id] = await sessions(node.url, 1);
    await awaitEnd(node.records, id);
    // The end of the process is when everything is sent that ever is.
    await node.kill('SIGTERM');
    assert.deepEqual([receiver.requests, from(node)], [[], []]);
  });

  test('config check refuses ftp:// and names the setting; plain http is a warning in production', async () => {
    const check = (url) => run(['config', 'check'], {
      env: { WEBSOCKET_REMOTE_LOGGING: 'true', WEBSOCKET_LOG_AGGREGATION_SERVICE: url }, cwd: temporaryDirectory(),
    });
    const ftp = await check('ftp://logs.example.com/x');
    assert.notEqual(ftp.code, 0);
    assert.match(ftp.stdout + ftp.stderr, /WEBSOCKET_LOG_AGGREGATION_SERVICE.*http/);
    const plain = await check('http://logs.example.com/x');
    assert.equal(plain.code, 0, plain.stderr);
    assert.match(plain.stdout + plain.stderr, /WEBSOCKET_LOG_AGGREGATION_SERVICE.*as they are/);
    assert.doesNotMatch((await check('https://logs.example.com/x')).stderr, /as they are/);
  });
});

describe('what is shown of clients', () => {
  for (const [pii, ip, agent] of [['mask', '127.0.0.0/24', 'Mozilla/5.0'], ['none', undefined, undefined]]) {
    test(`WEBSOCKET_LOG_PII=${pii}: in the file, in syslog and over HTTP`, async () => {
      const receiver = await sink();
      const node = await start({
        WEBSOCKET_LOG_PII: pii, WEBSOCKET_LOG_AGGREGATION_SERVICE: receiver.url, WEBSOCKET_SYSLOG_SERVER: rsyslog.url('tcp'),
        WEBSOCKET_LOG_LEVEL: 'DEBUG',
      });
      const [id] = await sessions(node.url, 1, { headers: { 'user-agent': 'Mozilla/5.0 (canary program)' }, from: '127.0.0.77' });
      await ask(node.url, OPENING, { headers: { Origin: FOREIGN, 'user-agent': 'Mozilla/5.0 (canary program)' }, from: '127.0.0.77' });
      await awaitEnd(node.records, id);
      await came(node, id);
      await until('it came over HTTP', () => ofType(receiver.records, 'blocked_origin').length > 0);
      await until('it came to syslog', () => from(node).some(({ msgid }) => msgid === 'blocked_origin'));
      for (const records of [recordsOf(node.records), from(node).map(({ record }) => record), receiver.records]) {
        const { client_ip: shown, user_agent: program } = records.find(({ session_id: own }) => own === id);
        assert.deepEqual([shown, program], [ip, agent]);
        const text = JSON.stringify(records);
        for (const hidden of ['127.0.0.77', 'canary program']) assert.ok(!text.includes(hidden), `${hidden} is shown`);
      }
      assert.doesNotMatch(node.output(), /127\.0\.0\.77|canary program/);
    });
  }
});

describe('planted canaries', () => {
  test('no token, session secret, cookie or text of a message is in any sink at TRACE', async () => {
    const receiver = await sink();
    const directory = temporaryDirectory();
    const files = ['security', 'performance', 'errors'].map((name) => path.join(directory, `${name}.log`));
    const node = await start({
      WEBSOCKET_LOG_LEVEL: 'TRACE', WEBSOCKET_SECURITY_LOG_LEVEL: 'TRACE', WEBSOCKET_PERFORMANCE_LOG_LEVEL: 'TRACE',
      WEBSOCKET_ERROR_LOG_LEVEL: 'TRACE', WEBSOCKET_SECURITY_LOG_FILE: files[0], WEBSOCKET_PERFORMANCE_LOG_FILE: files[1],
      WEBSOCKET_ERROR_LOG_FILE: files[2], WEBSOCKET_LOG_AGGREGATION_SERVICE: receiver.url,
      WEBSOCKET_SYSLOG_SERVER: rsyslog.url('tcp'), WEBSOCKET_AUTH_JWT_SECRET: SECRET,
    });
    const canaries = new Set([SECRET]);
    const planted = (text) => (canaries.add(text), text);
    const token = (claims) => {
      const text = key.token(claims);
      text.split('.').forEach((part) => canaries.add(part));
      return text;
    };
    const cookie = `session=${planted('c4n4ry-of-a-cookie')}; other=${planted('c4n4ry-of-another-cookie')}`;
    const client = await connect('planting', node.url, {
      auth: { token: token({ sub: 'anna' }) }, extraHeaders: { cookie, authorization: `Bearer ${planted('c4n4ry-of-a-header')}` },
    });
    await client.ask('echo', planted('c4n4ry-of-a-text'), { deep: planted('c4n4ry-of-an-object') });
    await client.join('room');
    await client.publish('room', { id: planted('c4n4ry-of-a-publication') });
    await client.received(1);
    // A session that is resumed by its secret, and one that is not.
    const socket = await openSocket(node.url, { auth: { token: token({ sub: 'berta' }) }, headers: { cookie } });
    planted(socket.session.pid);
    assert.ok(socket.session.pid?.length > 8, 'there is no pid');
    socket.end();
    const again = await openSocket(node.url, {
      auth: { token: token({ sub: 'berta' }), pid: socket.session.pid, offset: planted('c4n4ry-of-an-offset') },
    });
    planted(again.session.pid);
    again.send(`42${JSON.stringify(['echo', planted('c4n4ry-of-raw-text')])}`, planted('c4n4ry-that-is-no-packet'));
    await refusal(node.url, { auth: { token: `${token({ sub: 'anna', exp: 1 })}` } });
    await refusal(node.url, { auth: { token: planted('c4n4ry.of.a-broken-token') } });
    await ask(node.url, `${OPENING}&token=${planted('c4n4ry-in-a-query')}`, { headers: { cookie, origin: FOREIGN } });
    const last = await connect('the last one', node.url, { auth: { token: token({ sub: 'last' }) } });
    const { id } = last;
    last.close();
    await until('it came over HTTP', () => receiver.records.some(({ session_id: own }) => own === id));
    await came(node, id);
    assert.equal((await node.kill('SIGTERM')).code, 0);
    const texts = {
      'standard error': node.output(),
      HTTP: receiver.requests.map(({ body }) => body).join(''),
      syslog: from(node).map(({ rawmsg }) => rawmsg).join('\n'),
    };
    for (const file of [node.records, ...files]) texts[path.basename(file)] = existsSync(file) ? readFileSync(file, 'utf8') : '';
    assert.ok(texts['websocket.log'].includes('"DEBUG"') && texts.syslog.includes(id) && texts['errors.log'].length > 0);
    const found = Object.entries(texts).flatMap(([name, text]) =>
      [...canaries].filter((canary) => text.includes(canary)).map((canary) => {
        const line = text.split('\n').find((one) => one.includes(canary));
        return `${canary} in ${name}: ${line.slice(0, 600)}`;
      }));
    assert.deepEqual(found, []);
  });
});
