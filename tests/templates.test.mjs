// What `vedfolnir config` prints to begin with: templates that three readers agree on, documentation, a JSON Schema.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import './support/cleanup.mjs';
import { Authority } from './support/certificates.mjs';
import { BINARY, run, temporaryDirectory } from './support/cluster.mjs';
import { command } from './support/tls.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const directory = temporaryDirectory();
const file = (name, content) => {
  writeFileSync(path.join(directory, name), content, { mode: 0o600 });
  return path.join(directory, name);
};

async function print(...args) {
  const { code, stdout, stderr } = await run(['config', ...args]);
  assert.equal(code, 0, stderr);
  return stdout;
}

/** The eight categories of the production document, in its order, and what this one adds. */
const CATEGORIES = [
  'Production Mode Settings', 'SSL/TLS Configuration', 'Load Balancer Configuration', 'Logging Configuration',
  'Monitoring Configuration', 'Traces', 'Backup and Recovery Configuration', 'Performance Optimization',
  'Security Settings', 'Cluster Configuration', 'Backend Proxy', 'Webhooks',
];

/** The document's 66 variables, without WEBSOCKET_. */
const OF_THE_DOCUMENT = `
  SSL_CERT_FILE SSL_KEY_FILE SSL_CA_FILE SSL_VERSION SSL_CIPHERS FORCE_HTTPS HTTPS_REDIRECT HSTS_ENABLED HSTS_MAX_AGE
  HSTS_INCLUDE_SUBDOMAINS LOG_LEVEL SECURITY_LOG_LEVEL PERFORMANCE_LOG_LEVEL ERROR_LOG_LEVEL LOG_FILE SECURITY_LOG_FILE
  PERFORMANCE_LOG_FILE ERROR_LOG_FILE JSON_LOGGING STRUCTURED_LOGGING LOG_ROTATION MAX_LOG_SIZE LOG_BACKUP_COUNT
  REMOTE_LOGGING SYSLOG_SERVER LOG_AGGREGATION_SERVICE METRICS_ENABLED METRICS_ENDPOINT METRICS_FORMAT
  PERFORMANCE_MONITORING CONNECTION_METRICS MESSAGE_METRICS ERROR_METRICS HEALTH_CHECKS HEALTH_ENDPOINT DETAILED_HEALTH
  ALERTING_ENABLED ALERT_WEBHOOK_URL ALERT_THRESHOLDS STATE_BACKUP BACKUP_INTERVAL BACKUP_LOCATION MAX_BACKUP_FILES
  AUTO_RECOVERY RECOVERY_TIMEOUT RECOVERY_RETRIES PERSIST_CONNECTIONS PERSIST_SUBSCRIPTIONS PERSIST_SESSION_DATA
  COMPRESS_BACKUPS COMPRESSION_LEVEL SESSION_AFFINITY SESSION_AFFINITY_COOKIE SESSION_AFFINITY_TIMEOUT HEALTH_CHECK_PATH
  HEALTH_CHECK_INTERVAL HEALTH_CHECK_TIMEOUT HEALTH_CHECK_RETRIES TRUST_PROXY_HEADERS PROXY_HEADERS
  MAX_CONNECTIONS_PER_SERVER CONNECTION_TIMEOUT STICKY_SESSIONS STICKY_SESSION_KEY PRODUCTION_MODE DEBUG_MODE
`.trim().split(/\s+/).map((name) => `WEBSOCKET_${name}`);

describe('templates', () => {
  for (const name of ['development', 'staging', 'kubernetes', 'docker']) {
    test(`${name} passes the check as it is printed`, async () => {
      const at = file(`${name}.env`, await print('template', name));
      const { code, stdout, stderr } = await run(['config', 'check', '--json', '--env-file', at]);
      assert.equal(code, 0, stdout + stderr);
      assert.deepEqual(JSON.parse(stdout), []);
    });
  }

  test('production passes once its placeholders are replaced, and names each of them before', async () => {
    const template = await print('template', 'production');
    const before = await run(['config', 'check', '--json', '--env-file', file('placeholders.env', template)]);
    assert.equal(before.code, 78);
    const refused = JSON.parse(before.stdout).filter(({ severity }) => severity === 'error').map(({ value }) => value);
    const placeholders = [...template.matchAll(/^[A-Z0-9_]+=(\/path\/to\/\S+|\/etc\/\S+|\/var\/log\/\S+)$/gm)].map(([, value]) => value);
    assert.ok(placeholders.length >= 10);
    assert.deepEqual(refused.toSorted(), placeholders.toSorted());

    const authority = new Authority();
    const { certificate, key } = authority.issue('production', { names: 'DNS:ws.example.com' });
    const cluster = path.join(directory, 'cluster');
    assert.equal((await run(['cert', 'init', '--node', '10.0.0.1', cluster])).code, 0);
    const filled = template
      .replace('/path/to/certificate.pem', certificate)
      .replace('/path/to/private_key.pem', key)
      .replace('/path/to/ca_bundle.pem', authority.root)
      .replace('/etc/vedfolnir/cluster/ca.pem', path.join(cluster, 'ca.pem'))
      .replace('/etc/vedfolnir/cluster/', path.join(cluster, '10.0.0.1/'))
      .replace('/etc/vedfolnir/cluster/', path.join(cluster, '10.0.0.1/'))
      .replaceAll('/var/log/vedfolnir/', `${directory}/`);
    assert.doesNotMatch(filled, /^[A-Z0-9_]+=\/(path|etc|var\/log)\//m);
    const { code, stdout } = await run(['config', 'check', '--json', '--env-file', file('filled.env', filled)]);
    const problems = JSON.parse(stdout).filter(({ severity }) => severity !== 'note');
    assert.equal(code, 0, stdout);
    // The document's cipher string asks for suites that are never offered: one line about that, and nothing else.
    assert.deepEqual(problems.map(({ severity, var: name }) => [severity, /SSL_CIPHERS/.test(name)]), [['warning', true]]);
  });

  test('the production template is the file that ships, and has all of the document\'s variables', async () => {
    const template = await print('template', 'production');
    assert.equal(template, readFileSync(path.join(root, 'deploy/websocket_production_config.env.example'), 'utf8'));
    assert.equal(new Set(OF_THE_DOCUMENT).size, 66);
    for (const name of OF_THE_DOCUMENT) assert.match(template, new RegExp(`^(# )?${name}=`, 'm'));
  });

  test('every template has the eight categories of the document in its order', async () => {
    for (const name of ['development', 'staging', 'production', 'kubernetes']) {
      const headings = [...(await print('template', name)).matchAll(/^# ---- (.*) ----$/gm)].map(([, title]) => title);
      assert.deepEqual(headings, CATEGORIES, name);
    }
  });
});

describe('one file, read by this program, by a shell and as docker does it', () => {
  /** Every setting of a template set, those that are comments as well. */
  const everything = (template) => template.replace(/^# ([A-Z][A-Z0-9_]*=)/gm, '$1');

  const MINE = `# quotes, and what must not be taken for them
WEBSOCKET_SERVER_ID='node-1'
WEBSOCKET_CORS_ALLOWED_ORIGINS="https://a.example, https://b.example"
WEBSOCKET_ALERT_THRESHOLDS='{"connection_errors":10,"message_errors":50}'
WEBSOCKET_SSL_CIPHERS='ECDHE+AESGCM:!aNULL'
WEBSOCKET_AUTH_ISSUER='a b  c'
WEBSOCKET_AUTH_AUDIENCE=a=b#c
WEBSOCKET_AUTH_USER_CLAIM=it"s
WEBSOCKET_AUTH_ROLES_CLAIM=''
WEBSOCKET_PORT="5001"
FLASK_HOST=

WEBSOCKET_PUBLIC_URL=https://ws.example.com/path?a=b
`.replace('it"s', 'plain');

  const values = (text) => Object.fromEntries(JSON.parse(text).settings.map(({ var: name, value }) => [name, value]));

  const pair = (line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)];

  async function byThisProgram(at) {
    return values(await print('show', '--json', '--env-file', at));
  }

  async function byAShell(at) {
    const script = 'set -a; . "$0"; exec "$@"';
    const { code, stdout, stderr } = await command('sh', ['-ec', script, at, BINARY, 'config', 'show', '--json']);
    assert.equal(code, 0, stderr);
    return values(stdout);
  }

  /** `docker run --env-file`: what stands behind the first =, quotes and all. */
  async function asDocker(at) {
    const lines = readFileSync(at, 'utf8').split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    const env = Object.fromEntries(lines.map(pair));
    const { code, stdout, stderr } = await run(['config', 'show', '--json'], { env });
    assert.equal(code, 0, stderr);
    return values(stdout);
  }

  for (const name of ['development', 'staging', 'production', 'kubernetes', 'own']) {
    test(`${name}: the same values by all three`, async () => {
      const text = name === 'own' ? MINE : await print('template', name);
      for (const [index, variant] of [text, everything(text)].entries()) {
        const at = file(`${name}-${index}.env`, variant);
        const read = await byThisProgram(at);
        assert.deepEqual(await byAShell(at), read);
        assert.deepEqual(await asDocker(at), read);
      }
    });
  }

  test('what the shell exports is what the program shows', async () => {
    const at = file('exported.env', everything(await print('template', 'production')));
    const { stdout, code } = await command('sh', ['-ec', 'set -a; . "$0"; env -0', at]);
    assert.equal(code, 0);
    const exported = Object.fromEntries(stdout.split('\0').filter(Boolean).map(pair));
    const read = await byThisProgram(at);
    const compared = Object.keys(read).filter((name) => exported[name]);
    assert.ok(compared.length > 100, `${compared.length}`);
    for (const name of compared) if (read[name] !== '***') assert.equal(read[name], exported[name], name);
  });

  test('the values of the file with quotes are those that were meant', async () => {
    const read = await byThisProgram(file('meant.env', MINE));
    for (const [name, value] of [
      ['WEBSOCKET_SERVER_ID', 'node-1'],
      ['WEBSOCKET_CORS_ALLOWED_ORIGINS', 'https://a.example, https://b.example'],
      ['WEBSOCKET_ALERT_THRESHOLDS', '{"connection_errors":10,"message_errors":50}'],
      ['WEBSOCKET_AUTH_ISSUER', 'a b  c'],
      ['WEBSOCKET_AUTH_AUDIENCE', 'a=b#c'],
      ['WEBSOCKET_AUTH_ROLES_CLAIM', 'roles'],
      ['WEBSOCKET_PORT', '5001'],
      ['FLASK_HOST', null],
      ['WEBSOCKET_PUBLIC_URL', 'https://ws.example.com/path?a=b'],
    ]) assert.equal(read[name], value, name);
  });
});

describe('documentation and schema', () => {
  test('docs/configuration.md is what config docs prints', async () => {
    assert.equal(await print('docs'), readFileSync(path.join(root, 'docs/configuration.md'), 'utf8'));
  });

  test('template, documentation, schema and config show name the same settings', async () => {
    const sorted = (names) => [...names].toSorted();
    const docs = (await print('docs')).split('\n## Names without effect')[0];
    const documented = [...docs.matchAll(/^\| `([A-Z0-9_]+)`<br>`--/gm)].map(([, name]) => name);
    const template = await print('template', 'production');
    const templated = [...template.matchAll(/^(?:# )?([A-Z][A-Z0-9_]*)=/gm)].map(([, name]) => name);
    const { properties } = JSON.parse(await print('schema'));
    const shown = JSON.parse(await print('show', '--json')).settings.map(({ var: name }) => name);
    assert.ok(shown.length > 100);
    const schema = Object.values(properties).map((property) => property['x-env']);
    for (const [what, names] of Object.entries({ documented, templated, schema })) {
      assert.deepEqual(sorted(names), sorted(shown), what);
    }
    const headings = [...docs.matchAll(/^## \d+\. (.*)$/gm)].map(([, title]) => title);
    assert.deepEqual(headings, CATEGORIES);
    for (const name of OF_THE_DOCUMENT) assert.ok(shown.includes(name), name);
  });

  test('every key of the schema is taken from a TOML file', async () => {
    const { properties } = JSON.parse(await print('schema'));
    for (const [key, property] of Object.entries(properties)) {
      const name = property['x-env'];
      assert.equal(key, name.replace(/^WEBSOCKET_/, '').toLowerCase());
    }
    const keys = Object.keys(properties).filter((key) => key !== 'config_file');
    const toml = file('every-key.toml', keys.map((key) => `${key} = "1"\n`).join(''));
    const { settings } = JSON.parse(await print('show', '--json', '--config', toml));
    const elsewhere = settings.filter(({ var: name, source }) => name !== 'WEBSOCKET_CONFIG_FILE' && source.kind !== 'file');
    assert.deepEqual(elsewhere, []);
  });

  test('the schema is one of draft 2020-12, which lets good files in and wrong types not', async (context) => {
    const schema = await print('schema');
    assert.equal(JSON.parse(schema).$schema, 'https://json-schema.org/draft/2020-12/schema');
    if ((await command('python3', ['-c', 'import jsonschema, tomllib'])).code !== 0) {
      context.skip('no validator: neither jsonschema nor tomllib for python3');
      return;
    }
    const at = file('schema.json', schema);
    const validate = (toml) => command('python3', ['-c', `
import json, sys, tomllib
from jsonschema import Draft202012Validator as Validator
schema = json.load(open(sys.argv[1]))
Validator.check_schema(schema)
print(sorted(error.json_path for error in Validator(schema).iter_errors(tomllib.load(open(sys.argv[2], 'rb')))))
`, at, file('instance.toml', toml)]);
    const verdict = async (toml) => {
      const { code, stdout, stderr } = await validate(toml);
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout.replaceAll("'", '"'));
    };
    const good = `port = 5000
production_mode = true
ping_interval = "25s"
ping_timeout = 20
max_payload = "1MB"
cors_allowed_origins = ["https://a.example", "https://b.example"]
transports = "polling,websocket"
log_level = "INFO"
alert_thresholds = { connection_errors = 10 }
`;
    assert.deepEqual(await verdict(good), []);
    for (const [line, key] of [
      ['port = "many"', 'port'], ['port = 70000', 'port'], ['production_mode = 3', 'production_mode'],
      ['ping_interval = "soon"', 'ping_interval'], ['log_level = "LOUD"', 'log_level'],
      ['ssl_cert_file = 5', 'ssl_cert_file'], ['cors_allowed_origins = [1]', 'cors_allowed_origins'],
    ]) assert.deepEqual(await verdict(line), [`$.${key}`], line);
  });
});
