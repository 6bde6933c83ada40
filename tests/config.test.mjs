// `vedfolnir config check` and `show`: everything that is wrong, at once; every value, and where it comes from.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';

import './support/cleanup.mjs';
import { run, temporaryDirectory } from './support/cluster.mjs';

const directory = temporaryDirectory();
let files = 0;
/** A file of this content; its path. */
function file(content, name = `file-${(files += 1)}`) {
  const at = path.join(directory, name);
  writeFileSync(at, content, { mode: 0o600 });
  return at;
}

/** `config check --json`: { code, problems, stdout, stderr }; problems of `var`, by the variable's name in it. */
async function check(env = {}, args = [], options = {}) {
  const { code, stdout, stderr } = await run(['config', 'check', '--json', ...args], { env, ...options });
  const problems = JSON.parse(stdout);
  const of = (name) => problems.filter((problem) => problem.var.split(/[ ()]/).includes(name));
  return { code, problems, of, stdout, stderr };
}

/** `config show --json` by variable: { value, source }. */
async function show(env = {}, args = []) {
  const { code, stdout, stderr } = await run(['config', 'show', '--json', ...args], { env });
  assert.equal(code, 0, stderr);
  return Object.fromEntries(JSON.parse(stdout).settings.map((setting) => [setting.var, setting]));
}

describe('config check', () => {
  const SECRET = 'planted-secret';
  const BAD = {
    WEBSOCKET_PORT: 'abc',
    WEBSOCKET_PING_INTERVAL: '1y',
    WEBSOCKET_MAX_PAYLOAD: '-1',
    WEBSOCKET_LOG_LEVEL: 'LOUD',
    WEBSOCKET_KEEP_ALIVE: 'tru',
    WEBSOCKET_SSL_VERSION: 'TLSv1_1',
    WEBSOCKET_HSTS_MAX_AGE: '-5',
    WEBSOCKET_FORCE_HTTPS: 'true',
    WEBSOCKET_TRUSTED_PROXIES: '10.0.0.0/33',
    WEBSOCKET_HEALTH_ENDPOINT: 'health',
    WEBSOCKET_AUTH_JWT_SECRET: SECRET,
    WEBSOCKET_ADMIN_TOKEN: SECRET.slice(0, 9),
    WEBSOCKET_STATE_BACKUP: 'true',
  };

  test('all errors are reported at once: variable, value, reason, accepted form; exit code 78', async () => {
    const { code, problems, of } = await check(BAD);
    assert.equal(code, 78);
    for (const problem of problems) {
      assert.deepEqual(Object.keys(problem).sort(), ['accepted', 'reason', 'severity', 'value', 'var']);
    }
    for (const [name, value] of Object.entries(BAD)) {
      const [error] = of(name);
      assert.equal(error?.severity, 'error', `${name}: ${JSON.stringify(error)}`);
      assert.equal(error.value, value.startsWith('planted') ? '***' : value);
      assert.ok(error.reason.length > 0, name);
    }
    assert.equal(problems.filter(({ severity }) => severity === 'error').length, Object.keys(BAD).length);
  });

  test('every error says what is accepted, in the place for it', async () => {
    const more = {
      ...BAD,
      WEBSOCKET_ALLOWED_HOSTS: 'a/b',
      WEBSOCKET_CORS_ALLOWED_ORIGINS: '*',
      WEBSOCKET_CORS_CREDENTIALS: 'true',
      WEBSOCKET_SSL_CIPHERS: 'DHE+AESGCM',
      WEBSOCKET_SSL_VERSION: 'TLSv1',
      WEBSOCKET_HSTS_ENABLED: 'true',
      WEBSOCKET_HSTS_PRELOAD: 'true',
      WEBSOCKET_HSTS_MAX_AGE: '300',
    };
    const problems = [...(await check(BAD)).problems, ...(await check(more)).problems];
    const errors = problems.filter(({ severity }) => severity === 'error');
    const misplaced = errors.filter(({ accepted, reason }) => accepted === '' || /accepted:/.test(reason));
    assert.deepEqual(misplaced.map(({ var: name, reason, accepted }) => [name, reason.slice(-60), accepted]), []);
  });

  test('without --json each has a line that names all four; start refuses the same with 78 on standard error', async () => {
    const { code, stdout } = await run(['config', 'check'], { env: BAD });
    assert.equal(code, 78);
    const started = await run(['start'], { env: BAD, cwd: temporaryDirectory() });
    assert.equal(started.code, 78);
    assert.equal(started.stdout, '');
    for (const [name, value] of Object.entries(BAD)) {
      const shown = value.startsWith('planted') ? '***' : value;
      for (const text of [stdout, started.stderr]) {
        const line = text.split('\n').find((one) => one.includes(name));
        assert.ok(line?.includes(shown) && /refused/.test(line) && /accepted/.test(line), `${name}: ${line}\n${text}`);
      }
    }
  });

  test('secrets are in no output, whether they are good or bad, from a variable, a file or an option', async () => {
    const long = `${SECRET}-that-is-long-enough-for-everything`;
    const environments = [
      { env: BAD },
      { env: { WEBSOCKET_AUTH_JWT_SECRET: long, WEBSOCKET_ADMIN_TOKEN: long, WEBSOCKET_METRICS_TOKEN: long } },
      { env: { WEBSOCKET_AUTH_JWT_SECRET_FILE: file(`${SECRET}\n`), WEBSOCKET_ADMIN_TOKEN_FILE: file(`${long}\n`) } },
      { args: ['--admin-token', SECRET.slice(0, 9), '--auth-jwt-secret', long] },
      { args: ['--config', file(`auth_jwt_secret = "${SECRET}"\nadmin_token = "${SECRET}\\u0007"\n`)] },
    ];
    for (const { env = {}, args = [] } of environments) {
      for (const verb of ['check', 'check --json', 'show', 'show --json']) {
        const { stdout, stderr } = await run(['config', ...verb.split(' '), ...args], { env });
        assert.doesNotMatch(stdout + stderr, /planted/, verb);
        if (verb.startsWith('show')) assert.match(stdout, /\*\*\*/);
      }
    }
  });

  test('it opens no port and writes no file: one that is taken is fine, a data directory is not made', async () => {
    const empty = temporaryDirectory();
    const server = net.createServer(() => assert.fail('a connection came')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const port = String(server.address().port);
    const address = `127.0.0.1:${port}`;
    const env = { WEBSOCKET_PORT: port, WEBSOCKET_ADMIN_BIND: address, WEBSOCKET_CLUSTER_ADDR: address };
    const { code, problems } = await check(env, [], { cwd: empty });
    server.close();
    assert.deepEqual([code, problems], [0, []]);
    const data = path.join(empty, 'data');
    assert.equal((await check({ WEBSOCKET_DATA_DIR: data }, [], { cwd: empty })).code, 0);
    assert.deepEqual(readdirSync(empty), []);
  });

  test('an unknown name is told its neighbour: a warning, in production mode an error', async () => {
    const typos = {
      WEBSOCKET_PROT: 'WEBSOCKET_PORT',
      WEBSOCKET_PING_INTERVALL: 'WEBSOCKET_PING_INTERVAL',
      WEBSOCKET_SSL_CERTFILE: 'WEBSOCKET_SSL_CERT_FILE',
      SOCKETIO_PING_TIMEOT: 'SOCKETIO_PING_TIMEOUT',
      WEBSOCKET_ADMIN_TOKN_FILE: 'WEBSOCKET_ADMIN_TOKEN_FILE',
    };
    const env = Object.fromEntries(Object.keys(typos).map((name) => [name, '1']));
    const relaxed = await check(env);
    const strict = await check({ ...env, WEBSOCKET_PRODUCTION_MODE: 'true' });
    assert.deepEqual([relaxed.code, strict.code], [0, 78]);
    for (const [typo, meant] of Object.entries(typos)) {
      for (const [{ of }, severity] of [[relaxed, 'warning'], [strict, 'error']]) {
        const [problem] = of(typo);
        assert.equal(problem?.severity, severity, typo);
        assert.match(problem.reason, new RegExp(`\\b${meant}\\b`));
      }
    }
    const { of, code } = await check({ WEBSOCKET_ZZZZZZ: '1', UNRELATED_PORT: '1' });
    assert.equal(code, 0);
    assert.equal(of('WEBSOCKET_ZZZZZZ').length, 1);
    assert.equal(of('UNRELATED_PORT').length, 0);
  });

  test('an unknown name is not said to be missing', async () => {
    const { stdout } = await run(['config', 'check'], { env: { WEBSOCKET_PROT: '1', WEBSOCKET_PRODUCTION_MODE: 'true' } });
    assert.doesNotMatch(stdout.split('\n').find((line) => line.includes('WEBSOCKET_PROT')), /missing/);
  });

  test('REDIS_URL and its kind are noted as without effect, also in production mode', async () => {
    const env = { REDIS_URL: 'redis://user:password@localhost', SOCKETIO_ASYNC_MODE: 'eventlet' };
    const { code, of } = await check({ ...env, WEBSOCKET_PRODUCTION_MODE: 'true' });
    assert.equal(code, 0);
    for (const name of ['REDIS_URL', 'SOCKETIO_ASYNC_MODE']) {
      assert.equal(of(name)[0].severity, 'note');
      assert.match(of(name)[0].reason, /no effect/);
      assert.equal(of(name)[0].value, null);
    }
  });

  test('booleans, durations and sizes are read in every documented form, and empty text is unset', async () => {
    const good = { true: 'true|1|yes|on|TRUE|Yes|true ', false: 'false|0|no|off|OFF' };
    for (const [meaning, spellings] of Object.entries(good)) {
      for (const spelling of spellings.split('|')) {
        // What is forced without TLS is refused, and nothing else.
        const { code } = await check({ WEBSOCKET_FORCE_HTTPS: spelling });
        assert.equal(code, meaning === 'true' ? 78 : 0, spelling);
      }
    }
    const forms = {
      WEBSOCKET_PING_INTERVAL: [['300', '5m', '250ms', '1m30s'], ['5 minutes', '-1', '1.5s', '5x']],
      WEBSOCKET_MAX_PAYLOAD: [['1MB', '1MiB', '1000000', '64kB'], ['100XB', '1.5MB', '0', '100GB']],
      WEBSOCKET_RATE_LIMIT_CONNECTS: [['10', '600/m', '3600/h', '0'], ['10/d', 'ten']],
      WEBSOCKET_HSTS_MAX_AGE: [['0', '31536000'], ['abc', '-1', '1.5']],
      WEBSOCKET_PORT: [['', '  ', "''", '"5000"'], ['65536', '-1', '5000x']],
    };
    for (const [name, [accepted, refused]] of Object.entries(forms)) {
      for (const value of accepted) assert.deepEqual((await check({ [name]: value })).problems, [], `${name}=${value}`);
      for (const value of refused) {
        const { code, of } = await check({ [name]: value });
        assert.deepEqual([code, of(name)[0]?.severity], [78, 'error'], `${name}=${value}`);
      }
    }
    assert.deepEqual((await show({ WEBSOCKET_PORT: '' })).WEBSOCKET_PORT.source, { kind: 'default' });
  });

  test('settings that contradict each other are refused', async () => {
    const preload = { WEBSOCKET_HSTS_ENABLED: 'true', WEBSOCKET_HSTS_PRELOAD: 'true' };
    const proxied = { WEBSOCKET_TRUST_PROXY_HEADERS: 'true' };
    const production = { WEBSOCKET_PRODUCTION_MODE: 'true' };
    const subdomains = { WEBSOCKET_HSTS_INCLUDE_SUBDOMAINS: 'true' };
    for (const [name, env] of [
      ['WEBSOCKET_FORCE_HTTPS', { WEBSOCKET_FORCE_HTTPS: 'true' }],
      ['WEBSOCKET_DEBUG_MODE', { ...production, WEBSOCKET_DEBUG_MODE: 'true' }],
      ['WEBSOCKET_CORS_ALLOWED_ORIGINS', { WEBSOCKET_CORS_ALLOWED_ORIGINS: '*', WEBSOCKET_CORS_CREDENTIALS: 'true' }],
      ['WEBSOCKET_HSTS_PRELOAD', { ...preload, WEBSOCKET_HSTS_MAX_AGE: '31536000' }],
      ['WEBSOCKET_HSTS_PRELOAD', { ...preload, ...subdomains, WEBSOCKET_HSTS_MAX_AGE: '300' }],
      ['WEBSOCKET_TRUSTED_PROXIES', { ...production, ...proxied }],
      ['WEBSOCKET_TRUSTED_PROXIES', { ...production, ...proxied, WEBSOCKET_TRUSTED_PROXIES: '0.0.0.0/0' }],
      ['WEBSOCKET_ADMIN_BIND', { WEBSOCKET_ADMIN_BIND: '0.0.0.0:5002' }],
      ['WEBSOCKET_HTTPS_REDIRECT', { ...proxied, WEBSOCKET_FORCE_HTTPS: 'true', WEBSOCKET_HTTPS_REDIRECT: 'true' }],
    ]) {
      const { code, of } = await check(env);
      assert.deepEqual([code, of(name)[0]?.severity], [78, 'error'], `${name}: ${JSON.stringify(env)}`);
    }
    const short = await check({ WEBSOCKET_HSTS_ENABLED: 'true', WEBSOCKET_HSTS_MAX_AGE: '300' });
    assert.deepEqual([short.code, short.of('WEBSOCKET_HSTS_MAX_AGE')[0]?.severity], [0, 'warning']);
  });

  test('production mode without TLS and without a proxy says so', async () => {
    const { stdout } = await run(['config', 'check'], { env: { WEBSOCKET_PRODUCTION_MODE: 'true' } });
    assert.match(stdout, /SSL\/TLS not configured for production/);
    assert.match(stdout, /production mode is on/);
  });
});

describe('where values come from', () => {
  test('each source is named: option, variable and its other names, lines of files, files of a value, default', async () => {
    const toml = file('# a comment\nping_interval = "11s"\n\n[cluster]\nvoters_max = 3\n');
    const envFile = file('# a comment\n\nWEBSOCKET_PING_TIMEOUT=12s\nexport WEBSOCKET_UPGRADE_TIMEOUT=\'13s\'\n');
    const token = file('a token of some length\n');
    const shown = await show(
      { SOCKETIO_CONNECT_TIMEOUT: '14s', WEBSOCKET_MAX_PAYLOAD: '2MB', WEBSOCKET_METRICS_TOKEN_FILE: token },
      ['--config', toml, '--env-file', envFile, '--drain-timeout', '1s'],
    );
    for (const [name, value, source] of [
      ['WEBSOCKET_PING_INTERVAL', '11s', { kind: 'file', path: toml, line: 2 }],
      ['WEBSOCKET_CLUSTER_VOTERS_MAX', '3', { kind: 'file', path: toml, line: 5 }],
      ['WEBSOCKET_PING_TIMEOUT', '12s', { kind: 'env_file', path: envFile, line: 3 }],
      ['WEBSOCKET_UPGRADE_TIMEOUT', '13s', { kind: 'env_file', path: envFile, line: 4 }],
      ['WEBSOCKET_CONNECT_TIMEOUT', '14s', { kind: 'env', variable: 'SOCKETIO_CONNECT_TIMEOUT' }],
      ['WEBSOCKET_MAX_PAYLOAD', '2MB', { kind: 'env', variable: 'WEBSOCKET_MAX_PAYLOAD' }],
      ['WEBSOCKET_METRICS_TOKEN', '***', { kind: 'value_file', path: token }],
      ['WEBSOCKET_DRAIN_TIMEOUT', '1s', { kind: 'command_line' }],
      ['WEBSOCKET_CONFIG_FILE', toml, { kind: 'command_line' }],
      ['WEBSOCKET_PORT', '5000', { kind: 'default' }],
    ]) {
      assert.deepEqual([shown[name].value, shown[name].source], [value, source], name);
    }
    const { stdout } = await run(['config', 'show', '--config', toml]);
    assert.match(stdout, new RegExp(`^WEBSOCKET_PING_INTERVAL +11s +\\[${toml}:2\\]$`, 'm'));
    assert.match(stdout, /^WEBSOCKET_PORT +5000 +\[default\]$/m);
  });

  test('precedence: option, variable, later --env-file, earlier one, file of the value, TOML file, default', async () => {
    // The one setting that has all of them and is no secret; its text says where it was.
    const name = 'WEBSOCKET_AUTH_JWKS_URL';
    const toml = ['--config', file('auth_jwks_url = "http://toml"\n')];
    const valueFile = { [`${name}_FILE`]: file('http://value-file\n') };
    const [early, late] = ['early', 'late'].map((at) => ['--env-file', file(`${name}=http://${at}\n`)]);
    const shown = async (env, ...args) => (await show(env, args.flat()))[name].value;
    assert.equal(await shown({}), null);
    assert.equal(await shown({}, toml), 'http://toml');
    assert.equal(await shown(valueFile, toml), 'http://value-file');
    assert.equal(await shown({}, toml, early), 'http://early');
    assert.equal(await shown({}, toml, early, late), 'http://late');
    assert.equal(await shown({}, toml, late, early), 'http://early');
    assert.equal(await shown({ [name]: 'http://env' }, toml, early, late), 'http://env');
    assert.equal(await shown({ [name]: 'http://env' }, toml, early, ['--auth-jwks-url', 'http://option']), 'http://option');
    assert.equal(await shown(valueFile, toml, ['--auth-jwks-url', 'http://option']), 'http://option');
    // Empty is no value: the next one applies.
    assert.equal(await shown({ [name]: '' }, toml), 'http://toml');
  });

  test('a value and a file of it at once are refused, and so is a file that is not there', async () => {
    const valueFile = { WEBSOCKET_METRICS_TOKEN_FILE: file('another\n') };
    const both = await check({ ...valueFile, WEBSOCKET_METRICS_TOKEN: 'some token or other' });
    assert.equal(both.code, 78);
    assert.match(JSON.stringify(both.problems), /WEBSOCKET_METRICS_TOKEN_FILE/);
    const gone = await check({ WEBSOCKET_METRICS_TOKEN_FILE: '/nowhere/token' });
    assert.deepEqual([gone.code, gone.of('WEBSOCKET_METRICS_TOKEN_FILE')[0].value], [78, '/nowhere/token']);
  });

  test('a setting\'s own name wins over its other names, and SOCKETIO_ names work', async () => {
    const socketio = {
      SOCKETIO_PING_TIMEOUT: '7s', SOCKETIO_TRANSPORTS: 'websocket', SOCKETIO_CORS_ORIGINS: 'https://a.example',
    };
    const shown = await show(socketio);
    assert.equal(shown.WEBSOCKET_PING_TIMEOUT.value, '7s');
    assert.equal(shown.WEBSOCKET_TRANSPORTS.value, 'websocket');
    assert.deepEqual(shown.WEBSOCKET_CORS_ALLOWED_ORIGINS.source, { kind: 'env', variable: 'SOCKETIO_CORS_ORIGINS' });
    assert.equal((await show({ ...socketio, WEBSOCKET_PING_TIMEOUT: '8s' })).WEBSOCKET_PING_TIMEOUT.value, '8s');
    const { of } = await check({ SOCKETIO_PING_TIMEOUT: 'soon' });
    assert.equal(of('SOCKETIO_PING_TIMEOUT')[0].value, 'soon');
  });

  test('what is wrong with a file is named with its line', async () => {
    const toml = file('port = 5000\nping_interval = "1y"\nprot = 1\n');
    const envFile = file('WEBSOCKET_PORT=5000\nnonsense\nWEBSOCKET_PING_TIMEOUT=1y\n');
    const { code, problems } = await check({}, ['--config', toml, '--env-file', envFile]);
    assert.equal(code, 78);
    for (const place of [`${toml}:2`, `${toml}:3`, `${envFile}:2`, `${envFile}:3`]) {
      assert.ok(problems.some((problem) => problem.var.includes(place)), `${place}: ${JSON.stringify(problems)}`);
    }
    for (const broken of ['port = \n', 'port = 1\nport = 2\n']) {
      assert.equal((await check({}, ['--config', file(broken)])).code, 78);
    }
    assert.equal((await check({}, ['--config', '/nowhere.toml'])).code, 78);
    assert.equal((await check({}, ['--env-file', '/nowhere.env'])).code, 78);
  });
});

test("what was freed goes back to the system: the allocator's options are in the program, and the environment's go before them", async () => {
  const options = async (environment) => {
    const { code, stderr } = await run(['--version'], { env: { MALLOC_CONF: ['stats_print:true', ...environment].join() } });
    assert.equal(code, 0, stderr);
    return (name) => stderr.match(new RegExp(`^ *opt\\.${name}: (\\S+)`, 'm'))?.[1];
  };
  const own = await options([]);
  assert.deepEqual(['background_thread', 'dirty_decay_ms', 'muzzy_decay_ms'].map(own), ['true', '1000', '0']);
  const theirs = await options(['dirty_decay_ms:5000']);
  assert.deepEqual(['background_thread', 'dirty_decay_ms'].map(theirs), ['true', '5000']);
});
