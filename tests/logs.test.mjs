// A node's log as its operator finds it: lines of a client's life, files and levels, formats, rotation, full disks.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { Ajv2020 as Ajv } from 'ajv/dist/2020.js';

import { exchange } from './support/certificates.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { planNode, portsOfNode, run, startSingle, temporaryDirectory } from './support/cluster.mjs';
import { ask, FOREIGN, metric, OPENING, openSocket, refusal, Wire, get } from './support/doors.mjs';
import {
  assertContiguous, assertSchema, awaitEnd, awaitRecords, catalogue, HOSTILE, HOSTILE_CHARACTERS, linesOf, ofType, recordsOf, sessions,
} from './support/log_sinks.mjs';
import { SmallDisk } from './support/small_disk.mjs';
import { Key } from './support/tokens.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

const SECRET = 'a-shared-secret-of-these-tests-0123456789';
const key = Key.secret(SECRET);

async function start(env) {
  const node = await startSingle({ env: { WEBSOCKET_JSON_LOGGING: 'true', ...env } });
  atEnd(() => node.kill());
  return node;
}

/** Sends a page's request that is refused: a WARNING of category security. */
const refused = (node) => ask(node.url, OPENING, { headers: { Origin: FOREIGN } });

let types;
before(async () => {
  types = new Set((await catalogue()).map(({ event_type: type }) => type));
});

describe('levels while a node runs', () => {
  test('change by the operators\' door without losing a client, and it is audited', async () => {
    const directory = temporaryDirectory();
    const [LOG, SECURITY] = ['websocket', 'security'].map((name) => path.join(directory, `${name}.log`));
    const node = await start({ WEBSOCKET_LOG_FILE: LOG, WEBSOCKET_SECURITY_LOG_FILE: SECURITY });
    const witness = await connect('witness', node.url);
    const shown = async (...args) => {
      const { code, stdout, stderr } = await run(['log-level', ...args, '--addr', node.adminUrl, '--json']);
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout);
    };
    const of = (session) => recordsOf(LOG).filter(({ session_id: own }) => own === session);
    const messages = () => ofType(recordsOf(LOG), 'message_received').length;
    assert.equal((await shown()).level, 'INFO');
    await witness.ask('echo', 'at INFO a message has no line');
    const { categories } = await shown('message', 'DEBUG');
    assert.deepEqual(categories.find(({ category }) => category === 'message'), { category: 'message', level: 'DEBUG', own: true });
    await witness.ask('echo', 'at DEBUG it has one');
    await until('the one message has its line', () => messages() === 1);
    await shown('message', 'INFO');
    assert.equal((await shown('all', 'WARNING')).level, 'WARNING');
    const [quiet] = await sessions(node.url, 1);
    assert.equal((await shown('all', 'INFO')).level, 'INFO');
    const [loud] = await sessions(node.url, 1);
    await awaitEnd(LOG, loud);
    assert.deepEqual(of(quiet), []);
    const changes = await awaitRecords(LOG, 'all four changes', ({ event_type: type }) => type === 'log_level_changed', 4);
    assert.deepEqual(
      changes.map(({ metadata }) => [metadata.target_category, metadata.from, metadata.to]),
      [['message', 'INFO', 'DEBUG'], ['message', 'DEBUG', 'INFO'], ['all', 'INFO', 'WARNING'], ['all', 'WARNING', 'INFO']],
    );
    const isAudit = ({ event_type: type, metadata }) => type === 'admin_action' && metadata.path === '/log-level';
    // The change to WARNING was in force when its own line was due; that it was made stands in the log itself.
    const [audit] = await awaitRecords(SECURITY, 'who did it', isAudit, 3);
    assert.deepEqual([audit.metadata.method, audit.metadata.status, audit.metadata.role], ['PUT', 200, 'admin']);
    for (const args of [['nowhere', 'INFO'], ['message', 'LOUD']]) {
      const { code, stderr } = await run(['log-level', ...args, '--addr', node.adminUrl]);
      assert.notEqual(code, 0);
      assert.match(stderr, /is no (category|level); accepted: /);
    }
    assert.match((await run(['log-level', '--addr', node.adminUrl])).stdout, /^all +INFO$/m);
    assert.deepEqual([witness.connects.length, witness.disconnects.length], [1, 0]);
    witness.close();
  });

  test('of a category that is off there is no line, whatever its level, and nobody turns it on by the way', async () => {
    const [log, performance] = ['websocket', 'performance'].map((name) => path.join(temporaryDirectory(), `${name}.log`));
    const node = await start({
      WEBSOCKET_LOG_FILE: log, WEBSOCKET_PERFORMANCE_LOG_FILE: performance, WEBSOCKET_LOG_LEVEL: 'DEBUG',
      WEBSOCKET_PERFORMANCE_LOG_LEVEL: 'DEBUG', WEBSOCKET_PERFORMANCE_MONITORING: 'false',
    });
    const { code, stderr } = await run(['log-level', 'performance', 'DEBUG', '--addr', node.adminUrl]);
    assert.notEqual(code, 0);
    assert.match(stderr, /WEBSOCKET_PERFORMANCE_MONITORING=false/);
    const client = await connect('client', node.url);
    await client.ask('echo', 'timed');
    await awaitRecords(log, 'the message', ({ event_type: type }) => type === 'message_received');
    assert.deepEqual([...recordsOf(performance), ...recordsOf(log)].filter(({ category }) => category === 'performance'), []);
    client.close();
  });
});

describe('ten thousand lines', () => {
  test('of a node under traffic at DEBUG each fits the schema that config log-schema prints', async () => {
    const { stdout } = await run(['config', 'log-schema']);
    const fits = new Ajv({ allowUnionTypes: true, allErrors: true }).compile(JSON.parse(stdout));
    const file = path.join(temporaryDirectory(), 'websocket.log');
    const node = await start({ WEBSOCKET_LOG_FILE: file, WEBSOCKET_LOG_LEVEL: 'DEBUG', WEBSOCKET_PERFORMANCE_LOG_LEVEL: 'DEBUG' });
    const ids = await sessions(node.url, 50);
    const clients = await Promise.all(['one', 'two', 'three', 'four'].map((name) => connect(name, node.url)));
    // Two lines each: that it was handled, and how long that took.
    for (let round = 0; round < 26; round += 1) {
      await Promise.all(clients.flatMap((client) => Array.from({ length: 50 }, (_, index) => client.ask('echo', HOSTILE, index))));
    }
    for (let count = 0; count < 20; count += 1) await refused(node);
    for (const client of clients) client.close();
    await awaitEnd(file, ids.at(-1));
    await until('all lines are out', () => linesOf(file).length >= 10_000);
    const records = recordsOf(file);
    for (const record of records) {
      assert.ok(fits(record), `${JSON.stringify(record)}: ${JSON.stringify(fits.errors)}`);
    }
    const levels = new Set(records.map(({ level }) => level));
    const categories = new Set(records.map(({ category }) => category));
    assert.ok(levels.size >= 3 && categories.size >= 5, `${[...levels]}; ${[...categories]}`);
    const [{ event_type: type, ...untyped }] = records;
    for (const broken of [untyped, { event_type: 'made_up', ...untyped }, { ...records[0], more: 1 }, { ...records[0], level: 'LOUD' }]) {
      assert.equal(fits(broken), false, `${type}: the schema refuses what is none: ${JSON.stringify(broken)}`);
    }
  });
});

describe('files by category', () => {
  const directory = temporaryDirectory();
  const file = (name) => path.join(directory, `${name}.log`);
  const [LOG, SECURITY, PERFORMANCE, ERRORS] = ['websocket', 'security', 'performance', 'errors'].map(file);
  const envFile = path.join(directory, 'node.env');
  const settings = {
    WEBSOCKET_LOG_FILE: LOG, WEBSOCKET_SECURITY_LOG_FILE: SECURITY, WEBSOCKET_PERFORMANCE_LOG_FILE: PERFORMANCE,
    WEBSOCKET_ERROR_LOG_FILE: ERRORS, WEBSOCKET_LOG_LEVEL: 'INFO', WEBSOCKET_JSON_LOGGING: 'true',
  };
  const write = (changes) => {
    Object.assign(settings, changes);
    exchange(envFile, Object.entries(settings).map(([name, value]) => `${name}='${value}'\n`).join(''));
  };
  let node;
  before(async () => {
    write({});
    node = await startSingle({ options: ['--env-file', envFile] });
    atEnd(() => node.kill());
  });
  const here = (session) => recordsOf(LOG).filter(({ session_id: own }) => own === session);

  test('a connect, an upgrade and a disconnect are one line each, with the same session and connection', async () => {
    const from = performance.now();
    const client = await connect('upgrading', node.url, {
      transports: ['polling', 'websocket'], extraHeaders: { 'user-agent': 'canary-agent/1.0' },
    });
    const { id } = client;
    await awaitRecords(LOG, 'the upgrade', ({ session_id: own, event_type: type }) => own === id && type === 'connection_upgraded');
    client.close();
    await awaitEnd(LOG, id);
    const took = performance.now() - from;
    // Whatever would come twice has come by the time of the next session's lines.
    const [last] = await sessions(node.url, 1);
    await awaitEnd(LOG, last);
    const connection = here(id)[0].connection_id;
    const mine = recordsOf(LOG).filter(({ connection_id: own }) => own === connection);
    assert.ok(mine.every(({ session_id: own }) => own === id), `not all of its lines name the session: ${JSON.stringify(mine)}`);
    assert.deepEqual(
      mine.map(({ event_type: type }) => type), ['connection_established', 'connection_upgraded', 'connection_closed'],
    );
    const [established, , closed] = mine;
    assert.equal(new Set(mine.map(({ connection_id: own }) => own)).size, 1);
    assert.ok(established.connection_id);
    assert.notEqual(here(last)[0].connection_id, established.connection_id);
    assert.equal(established.message, 'WebSocket connection established');
    const facts = ({ level, category, namespace, client_ip: ip }) => [level, category, namespace, ip];
    for (const record of mine) assert.deepEqual(facts(record), ['INFO', 'connection', '/', '127.0.0.1']);
    assert.ok(mine.every((record) => !('user_id' in record)), 'an anonymous client has a user_id');
    const stood = Date.parse(closed.timestamp) - Date.parse(established.timestamp);
    assert.ok(closed.duration_ms > 0 && closed.duration_ms < took + 50, `${closed.duration_ms} of ${took}`);
    assert.ok(Math.abs(closed.duration_ms - stood) <= 50, `${closed.duration_ms} ms, by the timestamps ${stood}`);
  });

  test('each of these lines has the fields that the catalogue promises', async () => {
    const promised = Object.fromEntries((await catalogue()).map(({ event_type: type, fields }) => [type, fields]));
    const lines = recordsOf(LOG).filter(({ user_agent: agent, session_id: id }) => agent === 'canary-agent/1.0' && id);
    assert.ok(lines.length > 0);
    for (const record of here(lines[0].session_id)) {
      const missing = promised[record.event_type].filter((name) => name !== 'user_id' && !(name in record) && !(name in record.metadata));
      assert.deepEqual(missing, [], `${record.event_type}: ${JSON.stringify(record)}`);
    }
  });

  test('files have mode 0640 or stricter and hold only what is theirs', async () => {
    assert.equal((await refused(node)).status, 403);
    await awaitRecords(SECURITY, 'a refusal', ({ event_type: type }) => type === 'blocked_origin');
    for (const name of [LOG, SECURITY, PERFORMANCE, ERRORS]) assert.equal(statSync(name).mode & 0o137, 0, name);
    assert.ok(recordsOf(SECURITY).every(({ category }) => category === 'security'));
    assert.ok(recordsOf(PERFORMANCE).every(({ category }) => category === 'performance'));
    assert.ok(recordsOf(LOG).every(({ category }) => !['security', 'performance'].includes(category)));
    assert.deepEqual(linesOf(ERRORS), [], 'a warning is no error');
    assert.equal(ofType(recordsOf(SECURITY), 'blocked_origin').at(-1).level, 'WARNING');
  });

  test('levels change at SIGHUP without losing a client; security and errors are independent of the log', async () => {
    const witness = await connect('witness', node.url);
    const reload = async (changes) => {
      write({ ...changes, WEBSOCKET_CORS_ALLOWED_ORIGINS: `https://${Object.values(changes).join('-').toLowerCase()}.example` });
      node.signal('SIGHUP');
      const origin = settings.WEBSOCKET_CORS_ALLOWED_ORIGINS;
      await until('the settings are in force', async () => (await ask(node.url, OPENING, { headers: { Origin: origin } })).status === 200);
    };
    await reload({ WEBSOCKET_LOG_LEVEL: 'CRITICAL', WEBSOCKET_SECURITY_LOG_LEVEL: 'WARNING', WEBSOCKET_ERROR_LOG_LEVEL: 'WARNING' });
    const [quiet] = await sessions(node.url, 1);
    const count = ofType(recordsOf(SECURITY), 'blocked_origin').length;
    await refused(node);
    await awaitRecords(SECURITY, 'a refusal', ({ event_type: type }) => type === 'blocked_origin', count + 1);
    await awaitRecords(ERRORS, 'the warning', ({ event_type: type }) => type === 'blocked_origin');
    assert.deepEqual(here(quiet), [], 'a connect is logged at CRITICAL');

    // The other way round: no security below CRITICAL, everything else.
    await reload({ WEBSOCKET_LOG_LEVEL: 'INFO', WEBSOCKET_SECURITY_LOG_LEVEL: 'CRITICAL', WEBSOCKET_ERROR_LOG_LEVEL: 'ERROR' });
    const before = ofType(recordsOf(SECURITY), 'blocked_origin').length;
    await refused(node);
    const [loud] = await sessions(node.url, 1);
    await awaitEnd(LOG, loud);
    assert.equal(ofType(recordsOf(SECURITY), 'blocked_origin').length, before);
    // A refused configuration is an error: in the log, and in the file of errors, too.
    write({ WEBSOCKET_LOG_LEVEL: 'LOUD' });
    node.signal('SIGHUP');
    const [error] = await awaitRecords(ERRORS, 'the error', ({ event_type: type }) => type === 'configuration_refused');
    assert.equal(error.level, 'ERROR');
    assert.equal(ofType(recordsOf(LOG), 'configuration_refused').length, 1);
    write({ WEBSOCKET_LOG_LEVEL: 'INFO' });
    assert.deepEqual([witness.connects.length, witness.disconnects.length], [1, 0]);
    witness.close();
  });

  test('at DEBUG a message has a line, without its text, and performance records how long it took', async () => {
    write({ WEBSOCKET_LOG_LEVEL: 'DEBUG', WEBSOCKET_PERFORMANCE_LOG_LEVEL: 'DEBUG' });
    node.signal('SIGHUP');
    const client = await connect('speaking', node.url);
    await until('DEBUG is in force', async () => {
      await client.ask('echo', 'x');
      return recordsOf(LOG).some(({ level }) => level === 'DEBUG');
    });
    await client.ask('echo', 'a text that is nobody else\'s business');
    const { id } = client;
    client.close();
    await awaitEnd(LOG, id);
    for (const name of [LOG, PERFORMANCE]) assert.ok(!readFileSync(name, 'utf8').includes('nobody else'));
    const message = here(id).find(({ category }) => category === 'message');
    assert.ok(message, `no line of category message: ${JSON.stringify(here(id).map(({ event_type: type }) => type))}`);
    const measured = recordsOf(PERFORMANCE).filter(({ session_id: own }) => own === id);
    assert.ok(measured.length > 0 && measured.every(({ duration_ms: ms }) => ms >= 0), 'no performance record of the session');
  });

  test('DEBUG is about this program: the libraries below it do not drown its lines', () => {
    const LIBRARIES = /^(openraft|quinn|hyper|tungstenite)/;
    const foreign = recordsOf(LOG).filter(({ level, metadata }) => LIBRARIES.test(metadata.target) && level !== 'ERROR');
    assert.equal(foreign.length, 0, `${foreign.length} of ${recordsOf(LOG).length} lines, such as ${JSON.stringify(foreign[0])}`);
  });

  test('every line of the run is valid, and all numbers are there over all files', async () => {
    const origin = await until('no line is missing', () => {
      const all = [LOG, SECURITY, PERFORMANCE].flatMap(recordsOf);
      assertContiguous(all, 1);
      return all;
    });
    assertSchema([...origin, ...recordsOf(ERRORS)], types);
  });
});

describe('two settings with one path', () => {
  test('each record is in it once and no line is broken', async () => {
    const directory = temporaryDirectory();
    const log = path.join(directory, 'all.log');
    const node = await start({
      WEBSOCKET_LOG_FILE: log, WEBSOCKET_SECURITY_LOG_FILE: path.join(directory, '.', 'all.log'),
      WEBSOCKET_ERROR_LOG_FILE: log, WEBSOCKET_ERROR_LOG_LEVEL: 'WARNING',
    });
    const alternate = async () => { for (let index = 0; index < 20; index += 1) await refused(node); };
    await Promise.all([sessions(node.url, 40), alternate()]);
    await awaitRecords(log, 'the last session', ({ event_type: type }) => type === 'connection_closed', 40);
    await awaitRecords(log, 'the last refusal', ({ event_type: type }) => type === 'blocked_origin', 20);
    assertContiguous(recordsOf(log), 1);
    assertSchema(recordsOf(log), types);
  });
});

describe('what cannot be a log file', () => {
  for (const name of ['LOG_FILE', 'SECURITY_LOG_FILE', 'PERFORMANCE_LOG_FILE', 'ERROR_LOG_FILE']) {
    test(`a missing directory of WEBSOCKET_${name} is refused with 78, and nothing is made`, async () => {
      const cwd = temporaryDirectory();
      const { code, stderr } = await run(['start'], { cwd, env: { [`WEBSOCKET_${name}`]: path.join(cwd, 'missing', 'x.log') } });
      assert.equal(code, 78);
      assert.match(stderr, new RegExp(`WEBSOCKET_${name}.*missing`));
      assert.deepEqual(readdirSync(cwd), []);
    });
  }

  for (const [name, value] of [
    ['LOG_LEVEL', 'LOUD'], ['MAX_LOG_SIZE', '0'], ['MAX_LOG_SIZE', '-1'], ['MAX_LOG_SIZE', '100XB'], ['LOG_BACKUP_COUNT', '-1'],
    ['REMOTE_LOGGING', 'true'],
  ]) {
    test(`WEBSOCKET_${name}=${value} is refused by config check`, async () => {
      const { code, stdout, stderr } = await run(['config', 'check'], { env: { [`WEBSOCKET_${name}`]: value }, cwd: temporaryDirectory() });
      assert.notEqual(code, 0);
      assert.match(stdout + stderr, new RegExp(`WEBSOCKET_${name}`));
    });
  }
});

/** `key=value`, the value bare or a JSON string, to the end of the line. */
function logfmt(line) {
  const pairs = {};
  let rest = line;
  while (rest !== '') {
    const pair = /^([\w.-]+)=(?:("(?:[^"\\]|\\.)*")|([^\s"=]*))(?: |$)/.exec(rest);
    assert.ok(pair, `no logfmt: ${rest} in ${line}`);
    const [whole, name, quoted, bare] = pair;
    assert.ok(!(name in pairs), `${name} twice: ${line}`);
    pairs[name] = quoted ? JSON.parse(quoted) : bare;
    rest = rest.slice(whole.length);
  }
  return pairs;
}

describe('formats, and clients that try to write lines of their own', () => {
  const FORMATS = {
    json: { env: { WEBSOCKET_STRUCTURED_LOGGING: 'false' }, check: (lines) => assertSchema(lines.map((line) => JSON.parse(line)), types) },
    logfmt: {
      env: { WEBSOCKET_JSON_LOGGING: 'false', WEBSOCKET_STRUCTURED_LOGGING: 'true' },
      check: (lines) => assertSchema(lines.map((line) => {
        const { seq, duration_ms: ms, ...pairs } = logfmt(line);
        const inner = Object.entries(pairs).filter(([name]) => name.startsWith('metadata.'));
        const top = Object.entries(pairs).filter(([name]) => !name.startsWith('metadata.'));
        const numbers = { ...(seq ? { seq: Number(seq) } : {}), ...(ms ? { duration_ms: Number(ms) } : {}) };
        return { ...Object.fromEntries(top), ...numbers, metadata: Object.fromEntries(inner) };
      }), types),
    },
    human: {
      env: { WEBSOCKET_JSON_LOGGING: 'false', WEBSOCKET_STRUCTURED_LOGGING: 'false' },
      check: (lines) => lines.forEach((line) =>
        assert.match(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z +(DEBUG|INFO|WARNING|ERROR|CRITICAL) \S/)),
    },
    bunyan: {
      env: { WEBSOCKET_LOG_FORMAT: 'bunyan' },
      // What bunyan's own documentation calls the core fields.
      check: (lines) => lines.map((line) => JSON.parse(line)).forEach((record) => {
        const shown = JSON.stringify(record);
        assert.equal(record.v, 0, shown);
        assert.ok([10, 20, 30, 40, 50, 60].includes(record.level), shown);
        for (const name of ['name', 'hostname', 'msg']) assert.equal(typeof record[name], 'string', shown);
        assert.ok(Number.isInteger(record.pid), shown);
        assert.ok(!Number.isNaN(Date.parse(record.time)), shown);
        if ('event_type' in record) assert.ok(types.has(record.event_type), `not in the catalogue: ${shown}`);
      }),
    },
  };

  for (const [format, { env, check }] of Object.entries(FORMATS)) {
    test(`${format}: nothing that a client sends starts a line or reaches the operator's terminal`, async () => {
      const log = path.join(temporaryDirectory(), 'websocket.log');
      const node = await start({
        WEBSOCKET_LOG_FILE: log, WEBSOCKET_LOG_LEVEL: 'DEBUG', WEBSOCKET_AUTH_JWT_SECRET: SECRET, ...env,
      });
      const token = key.token({ sub: 'anna "level"=CRITICAL' });
      // A header takes no line feed; a tab, quotes and bytes beyond ASCII it does.
      const agent = 'agent/"\\ \t{"timestamp":"forged"}';
      const socket = await openSocket(node.url, { auth: { token }, headers: { 'user-agent': agent } });
      const bytes = Buffer.from('other/\u009b31m \u2028\u202e').toString('latin1');
      (await openSocket(node.url, { auth: { token }, headers: { 'user-agent': bytes } })).end();
      socket.send(`42${JSON.stringify([`event${HOSTILE}`, HOSTILE])}`, `40/room${HOSTILE.replaceAll(',', '')},`);
      socket.send(`420${JSON.stringify(['join', HOSTILE])}`);
      await refusal(node.url, { auth: { token: `not-a-token ${HOSTILE}` } });
      for (const header of [`Origin: https://evil.example\u009b31m`, 'User-Agent: a\u001b[2Jb', 'User-Agent: \u2028']) {
        const wire = await Wire.open(node.url);
        wire.socket.write(Buffer.from(get(OPENING, header, 'Origin: https://evil.example', 'Connection: close')));
        await wire.ended();
      }
      await connect('a good one', node.url, { auth: { token: key.token({ sub: 'last-one' }) } });
      socket.end();
      await until('the log has all of it', () => {
        const lines = linesOf(log);
        return ['connection_closed', 'last-one', 'AUTH_FAILED'].every((what) => lines.some((line) => line.includes(what)));
      });
      await node.kill('SIGTERM');
      const text = readFileSync(log, 'utf8');
      assert.match(text, /agent\/.*forged/, 'the hostile user agent never came to the log: the test proves nothing');
      assert.doesNotMatch(text, HOSTILE_CHARACTERS);
      assert.ok(text.endsWith('\n'));
      check(linesOf(log));
      if (format === 'json') {
        const [first] = ofType(recordsOf(log), 'connection_established');
        assert.equal(first.user_id, 'anna "level"=CRITICAL');
        assert.equal(first.user_agent, agent);
        const [failed] = ofType(recordsOf(log), 'authentication_failed');
        assert.deepEqual([failed.category, failed.level, failed.error_code], ['security', 'WARNING', 'AUTH_FAILED']);
      }
    });
  }

  test('- as the log file is standard output, nothing but lines and the start block', async () => {
    const node = await start({ WEBSOCKET_LOG_FILE: '-' });
    await sessions(node.url, 1);
    const records = () => node.output().split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
    await until('the session is in it', () => ofType(records(), 'connection_closed').length === 1);
    assertSchema(records(), types);
  });

  test('a user agent is cut after 512 bytes, a number stays a number', async () => {
    const log = path.join(temporaryDirectory(), 'websocket.log');
    const node = await start({ WEBSOCKET_LOG_FILE: log, WEBSOCKET_AUTH_JWT_SECRET: SECRET });
    const socket = await openSocket(node.url, { auth: { token: key.token({ sub: 42 }) }, headers: { 'user-agent': 'a'.repeat(2000) } });
    socket.end();
    const [record] = await awaitRecords(log, 'the connect', ({ event_type: type }) => type === 'connection_established');
    assert.ok(record.user_agent?.length <= 512 && record.user_agent.length > 500);
    assert.equal(String(record.user_id), '42');
    assertSchema(recordsOf(log), types);
  });
});

describe('rotation', () => {
  const filesOf = (directory) => readdirSync(directory).filter((name) => name.startsWith('websocket.log')).sort();
  const all = (directory) => filesOf(directory).flatMap((name) => recordsOf(path.join(directory, name)));

  test('by size: never more than the limit, exactly so many old files, no record split, no number missing', async () => {
    const directory = temporaryDirectory();
    const log = path.join(directory, 'websocket.log');
    const node = await start({
      WEBSOCKET_LOG_FILE: log, WEBSOCKET_MAX_LOG_SIZE: '8KB', WEBSOCKET_LOG_BACKUP_COUNT: '3',
      WEBSOCKET_SECURITY_LOG_FILE: path.join(directory, 'security.log'),
    });
    const ids = await sessions(node.url, 120);
    await awaitEnd(log, ids.at(-1));
    assert.deepEqual(filesOf(directory), ['websocket.log', 'websocket.log.1', 'websocket.log.2', 'websocket.log.3']);
    assert.ok(!existsSync(path.join(directory, 'security.log.1')), 'another file was rotated with it');
    for (const name of filesOf(directory)) {
      const { size, mode } = statSync(path.join(directory, name));
      assert.ok(size <= 8_000, `${name} has ${size} bytes`);
      assert.equal(mode & 0o137, 0);
      assert.ok(readFileSync(path.join(directory, name), 'utf8').endsWith('\n'));
    }
    assert.ok(statSync(`${log}.1`).size > 7_000, 'it was rotated long before it was full');
    assertContiguous(all(directory));
    assertSchema(all(directory), types);
    const times = ['.3', '.2', '.1', ''].flatMap((end) => recordsOf(log + end)).map(({ seq }) => seq).filter(Boolean);
    assert.deepEqual(times, times.toSorted((a, b) => a - b), 'the older files are not the older lines');
    assert.ok((await metric(node, 'vedfolnir_log_rotations_total', { sink: 'log' })) > 3);
  });

  test('by mv and SIGHUP, many times: whatever the moment, the file is there afterwards and no number is missing', async () => {
    const directory = temporaryDirectory();
    const log = path.join(directory, 'websocket.log');
    const node = await start({ WEBSOCKET_LOG_FILE: log, WEBSOCKET_LOG_ROTATION: 'false' });
    const rounds = 40;
    for (let round = 1; round <= rounds; round += 1) {
      renameSync(log, `${log}.${round}`);
      node.signal('SIGHUP');
      await sessions(node.url, 4);
      // Without a file there is nothing to move: then it was made and removed again.
      await until(`there is a file again in round ${round}`, () => existsSync(log), { within: 5_000, every: 1 });
    }
    await awaitEnd(log, (await sessions(node.url, 1))[0]);
    assertContiguous(all(directory), 1);
    assert.equal(ofType(all(directory), 'connection_closed').length, rounds * 4 + 1);
  });

  test('by the real logrotate, with HUP after it: no line is lost while clients come and go', async () => {
    const directory = temporaryDirectory();
    const log = path.join(directory, 'websocket.log');
    const node = await start({ WEBSOCKET_LOG_FILE: log, WEBSOCKET_LOG_ROTATION: 'false', WEBSOCKET_MAX_LOG_SIZE: '1KB' });
    let text = readFileSync(new URL('../deploy/logging/logrotate.conf', import.meta.url), 'utf8');
    for (const [from, to] of [
      ['/var/log/vedfolnir/', `${directory}/`],
      ['"$(systemctl show --property MainPID --value vedfolnir.service)"', String(node.pid)],
    ]) {
      assert.ok(text.includes(from), from);
      text = text.replace(from, to);
    }
    const config = path.join(directory, 'logrotate.conf');
    writeFileSync(config, text, { mode: 0o600 });
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
    const rotate = () => execFileSync('logrotate', ['--force', '--state', path.join(directory, 'state'), config], { env, stdio: 'pipe' });
    const rounds = 5;
    const each = 21;
    for (let round = 1; round <= rounds; round += 1) {
      // The rotation falls between the lines of sessions that are under way.
      const busy = sessions(node.url, each - 1);
      rotate();
      await busy;
      await until(
        () => `round ${round}: the file at ${log} says that it was opened again; its end: ${linesOf(log).slice(-2).join('\n')}`,
        () => ofType(recordsOf(log), 'log_reopened').length > 0,
        { within: 10_000 },
      );
      await awaitEnd(log, (await sessions(node.url, 1))[0]);
    }
    for (const name of filesOf(directory).filter((name) => name.endsWith('.gz'))) execFileSync('gunzip', [path.join(directory, name)]);
    const old = Array.from({ length: rounds }, (_, index) => `websocket.log.${index + 1}`);
    assert.deepEqual(filesOf(directory), ['websocket.log', ...old]);
    assertContiguous(all(directory), 1);
    assert.equal(ofType(all(directory), 'connection_closed').length, rounds * each);
    assertSchema(all(directory), types);
  });
});

describe('a full disk under the log', () => {
  test('costs lines, which are counted, and no client; with room again lines flow and all of them are whole', async (t) => {
    const disk = await SmallDisk.make(path.join(temporaryDirectory(), 'disk'), '256k');
    if (disk === null) return t.skip('this system lets no test mount a small file system');
    t.after(() => disk.close());
    const log = path.join(disk.directory, 'websocket.log');
    const env = { WEBSOCKET_JSON_LOGGING: 'true', WEBSOCKET_LOG_FILE: log, WEBSOCKET_LOG_ROTATION: 'false' };
    const node = planNode('node-1', temporaryDirectory(), await portsOfNode(), { env });
    node.prefix = disk.prefix;
    node.spawn();
    atEnd(() => node.kill());
    await node.ready();
    const seen = `/proc/${node.pid}/root${log}`;
    const client = await connect('witness', node.url);
    await disk.run('head -c 1000000 /dev/zero > filler || true');
    const dropped = () => metric(node, 'vedfolnir_log_dropped_total', { sink: 'log' });
    await until('lines are dropped', async () => {
      await sessions(node.url, 10);
      return (await dropped()) > 0;
    });
    assert.ok((await metric(node, 'vedfolnir_log_errors_total', { sink: 'log' })) > 0);
    await sessions(node.url, 20);
    assert.deepEqual(await client.ask('echo', 1), [1]);
    assert.equal((await node.health()).status, 200);
    const complaints = () => node.output().match(/log_sink_failed/g)?.length ?? 0;
    await until('standard error says so', () => complaints() > 0);
    assert.equal(complaints(), 1, 'it says so more than once a minute');
    await disk.run('rm filler');
    const [id] = await sessions(node.url, 1);
    await awaitEnd(seen, id);
    const records = recordsOf(seen);
    const missing = ofType(records, 'log_lines_dropped').reduce((sum, { metadata }) => sum + metadata.lines, 0);
    assert.equal(missing, await dropped());
    const seqs = records.map(({ seq }) => seq).filter(Boolean);
    assert.equal(seqs.at(-1) - seqs.length, missing, 'the file says how many lines are missing');
    assertSchema(records, types);
    assert.deepEqual([client.connects.length, client.disconnects.length], [1, 0]);
  });

  test('/dev/full as the security log: refusals go on, errors are counted', async () => {
    const node = await start({ WEBSOCKET_SECURITY_LOG_FILE: '/dev/full', WEBSOCKET_LOG_ROTATION: 'false' });
    const before = await metric(node, 'vedfolnir_log_dropped_total', { sink: 'security' });
    assert.equal((await refused(node)).status, 403);
    await until('it is counted', async () => (await metric(node, 'vedfolnir_log_dropped_total', { sink: 'security' })) > before);
    await sessions(node.url, 1);
    assert.ok(statSync('/dev/full').isCharacterDevice());
  });
});
