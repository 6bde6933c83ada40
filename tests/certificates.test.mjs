// Certificate files: exchanged under a running node whose clients stay, and refused with their names when they are no good.

import assert from 'node:assert/strict';
import {
  chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { Authority, exchange, openssl } from './support/certificates.mjs';
import { closeClients, connect } from './support/client.mjs';
import { run, temporaryDirectory } from './support/cluster.mjs';
import { sClient, shownSerial, startSecure } from './support/tls.mjs';
import { until } from './support/wait.mjs';

const authority = new Authority();
const read = (file) => readFileSync(file, 'utf8');

atEnd(closeClients);

describe('certificates are exchanged while clients are connected', () => {
  const kinds = { first: 'ec', second: 'rsa', third: 'ed25519', fourth: 'ec' };
  const [first, second, third, fourth] = Object.entries(kinds).map(([name, kind]) => authority.issue(name, { kind }));
  const files = { certificate: authority.path('live.pem'), key: authority.path('live.key') };
  const install = ({ certificate, key }) => {
    exchange(files.key, read(key));
    exchange(files.certificate, read(certificate));
  };
  let watching;
  let waiting;
  let clients;
  before(async () => {
    install(first);
    // Two nodes of the same files: one looks at them, one waits to be told.
    watching = await startSecure(files, { WEBSOCKET_SSL_RELOAD: 'auto' });
    atEnd(() => watching.kill());
    waiting = await startSecure(files, { WEBSOCKET_SSL_RELOAD: 'sighup' });
    atEnd(() => waiting.kill());
    clients = await Promise.all([
      connect('WebSocket, watching', watching.secureUrl, { ca: authority.pem }),
      connect('polling, watching', watching.secureUrl, { ca: authority.pem, transports: ['polling'] }),
      connect('WebSocket, waiting', waiting.secureUrl, { ca: authority.pem }),
    ]);
  });

  const shows = (node, { serial }) =>
    until(`${node.name} shows ${serial}`, async () => (await shownSerial(node, authority)) === serial);

  /** No client noticed anything, and each is echoed over the connection that it has. */
  async function undisturbed() {
    for (const client of clients) {
      assert.deepEqual(await client.ask('echo', client.name), [client.name]);
      assert.deepEqual([client.connects.length, client.disconnects.length, client.errors.length], [1, 0, 0], client.name);
    }
  }

  test('new handshakes show new files by themselves; without the wish for that, at SIGHUP and not before', async () => {
    await shows(watching, first);
    await shows(waiting, first);
    install(second);
    await shows(watching, second);
    assert.equal(await shownSerial(waiting, authority), first.serial);
    waiting.signal('SIGHUP');
    await shows(waiting, second);
    for (const node of [watching, waiting]) {
      const { verified, status, text } = await sClient(node, authority);
      assert.ok(verified && status === 200, text);
    }
    await undisturbed();
  });

  const refused = /the new certificates are no good; those in use stay/g;
  const refusals = (node) => node.output().match(refused)?.length ?? 0;

  // The watching node takes its time: it is asked about one of them.
  const both = () => [watching, waiting];
  for (const [what, spoil, says, nodes = () => [waiting]] of [
    ['a certificate that is not PEM', () => exchange(files.certificate, 'nonsense\n'), /live\.pem/, both],
    ['the key of another certificate', () => exchange(files.key, read(third.key)), /live\.key|live\.pem/],
    ['a certificate that has expired', () => install(authority.issue('late', { days: -1 })), /expired/],
    ['a key that is gone', () => rmSync(files.key), /live\.key/],
  ]) {
    test(`${what} leaves the old one in use, and the log says so`, async () => {
      const judged = nodes();
      const before = judged.map(refusals);
      spoil();
      waiting.signal('SIGHUP');
      for (const [index, node] of judged.entries()) {
        await until(`the log of node ${index} tells of it`, () => refusals(node) > before[index]);
        const line = node.output().split('\n').findLast((one) => one.includes('those in use stay'));
        assert.match(line, says);
        assert.match(line, /ERROR/);
        assert.equal(await shownSerial(node, authority), second.serial);
        assert.equal((await node.health()).body.status, 'healthy');
      }
      await undisturbed();
      install(second);
    });
  }

  test('failed and good reloads are counted', async () => {
    const page = await (await fetch(`${waiting.url}/websocket/metrics`)).text();
    const sample = (outcome) => `websocket_tls_reloads_total{outcome="${outcome}"} `;
    const line = (outcome) => page.split('\n').find((one) => one.startsWith(sample(outcome)));
    const count = (outcome) => Number(line(outcome)?.slice(sample(outcome).length));
    assert.equal(count('failed'), 4);
    assert.ok(count('ok') >= 1);
  });

  test('after a repair the next files are taken, by the watching node as well as by SIGHUP', async () => {
    install(third);
    waiting.signal('SIGHUP');
    await shows(watching, third);
    await shows(waiting, third);
    waiting.signal('SIGHUP');
    await undisturbed();
  });

  test('SIGHUP has the watching node read at once, too', async () => {
    install(fourth);
    watching.signal('SIGHUP');
    await shows(watching, fourth);
    await undisturbed();
  });
});

test('a directory that is exchanged behind a link, as Kubernetes does it, is seen', async () => {
  const directory = temporaryDirectory();
  const at = (...parts) => path.join(directory, ...parts);
  const versions = ['..one', '..two'].map((version) => {
    const issued = authority.issue(`mounted${version}`);
    mkdirSync(at(version));
    writeFileSync(at(version, 'tls.crt'), read(issued.certificate));
    writeFileSync(at(version, 'tls.key'), read(issued.key), { mode: 0o600 });
    return issued;
  });
  symlinkSync('..one', at('..data'));
  for (const name of ['tls.crt', 'tls.key']) symlinkSync(`..data/${name}`, at(name));
  const node = await startSecure({ certificate: at('tls.crt'), key: at('tls.key') });
  atEnd(() => node.kill());
  assert.equal(await shownSerial(node, authority), versions[0].serial);
  symlinkSync('..two', at('..data_new'));
  renameSync(at('..data_new'), at('..data'));
  await until('the new certificate is shown', async () => (await shownSerial(node, authority)) === versions[1].serial);
});

describe('files that are no good are named', () => {
  const good = authority.issue('good', { kind: 'rsa' });
  const other = authority.issue('other', { kind: 'rsa' });
  const at = (name, content, mode = 0o600) => {
    writeFileSync(authority.path(name), content);
    chmodSync(authority.path(name), mode);
    return authority.path(name);
  };
  const CERT = 'WEBSOCKET_SSL_CERT_FILE';
  const KEY = 'WEBSOCKET_SSL_KEY_FILE';
  const PRODUCTION = { WEBSOCKET_PRODUCTION_MODE: 'true' };

  /** A start and a check of `env`: both refuse it with 78, and name the variable, the file and the reason. */
  async function isRefused(env, variable, file, reason) {
    const directory = temporaryDirectory();
    const whole = { [CERT]: good.certificate, [KEY]: good.key, WEBSOCKET_DATA_DIR: path.join(directory, 'data'), ...env };
    const checked = await run(['config', 'check', '--json'], { env: whole, cwd: directory });
    assert.equal(checked.code, 78, checked.stdout + checked.stderr);
    const errors = JSON.parse(checked.stdout).filter(({ severity }) => severity === 'error');
    const found = errors.find((error) => error.var.includes(variable) && reason.test(error.reason));
    assert.ok(found, JSON.stringify(errors, null, 1));
    assert.equal(found.value, file);
    assert.ok(found.accepted.length > 0, `nothing is said of what is accepted: ${JSON.stringify(found)}`);
    const started = await run(['start'], { env: whole, cwd: directory });
    assert.equal(started.code, 78, started.stderr);
    const line = started.stderr.split('\n').find((one) => one.includes(variable) && reason.test(one));
    assert.ok(line?.includes(file ?? ''), started.stderr);
    assert.ok(!existsSync(whole.WEBSOCKET_DATA_DIR), 'a data directory was made');
  }

  /** Outside production mode it is a warning. */
  async function isWarned(env, variable, reason) {
    const whole = { [CERT]: good.certificate, [KEY]: good.key, ...env };
    const { code, stdout } = await run(['config', 'check', '--json'], { env: whole });
    assert.equal(code, 0, stdout);
    const found = JSON.parse(stdout).filter((problem) => problem.var.includes(variable) && reason.test(problem.reason));
    assert.deepEqual(found.map(({ severity }) => severity), ['warning'], stdout);
  }

  test('a file that is not there', async () => {
    await isRefused({ [CERT]: '/nowhere/cert.pem' }, CERT, '/nowhere/cert.pem', /cannot be read/);
    await isRefused({ [KEY]: '/nowhere/key.pem' }, KEY, '/nowhere/key.pem', /cannot be read/);
  });

  test('a directory, an empty file, a file that is not PEM', async () => {
    await isRefused({ [CERT]: authority.directory }, CERT, authority.directory, /./);
    for (const [content, reason] of [['', /empty/], ['nonsense', /PEM/]]) {
      const file = at('bad.pem', content);
      for (const variable of [CERT, KEY]) await isRefused({ [variable]: file }, variable, file, reason);
    }
  });

  test('a damaged certificate', async () => {
    const file = at('damaged.pem', read(good.certificate).replace(/\n[^\n]{20}/, '\n&&&&&&&&&&&&&&&&&&&&'));
    await isRefused({ [CERT]: file }, CERT, file, /./);
  });

  test('one of the two alone', async () => {
    await isRefused({ [KEY]: '' }, KEY, null, /certificate is given/);
    await isRefused({ [CERT]: '' }, CERT, null, /key is given/);
  });

  test('the key of another certificate', async () => {
    await isRefused({ [KEY]: other.key }, KEY, other.key, /another certificate|does not (belong|match|fit)|belongs/);
  });

  test('the intermediate before the leaf', async () => {
    const [leaf, intermediate] = read(good.certificate).match(/-----BEGIN[^]*?-----END CERTIFICATE-----\n/g);
    const file = at('reversed.pem', intermediate + leaf);
    await isRefused({ [CERT]: file }, CERT, file, /first/);
  });

  test('an encrypted key, in both forms that openssl writes', async () => {
    const forms = [['pkcs8', '-topk8', '-v2', 'aes-256-cbc'], ['rsa', '-aes256', '-traditional']];
    for (const [form, ...options] of forms) {
      const file = authority.path(`encrypted-${form}.pem`);
      openssl(form, ...options, '-in', good.key, '-passout', 'pass:secret', '-out', file);
      await isRefused({ [KEY]: file }, KEY, file, /encrypted/);
    }
  });

  test('keys in the forms PKCS#8, PKCS#1 and SEC1 are taken', async () => {
    const pkcs1 = authority.path('pkcs1.pem');
    openssl('rsa', '-in', good.key, '-traditional', '-out', pkcs1);
    assert.match(read(pkcs1), /BEGIN RSA PRIVATE KEY/);
    assert.match(read(good.key), /BEGIN PRIVATE KEY/);
    const ec = authority.issue('sec1');
    const sec1 = authority.path('sec1-traditional.pem');
    openssl('ec', '-in', ec.key, '-out', sec1);
    assert.match(read(sec1), /BEGIN EC PRIVATE KEY/);
    for (const env of [{ [KEY]: pkcs1 }, {}, { [CERT]: ec.certificate, [KEY]: sec1 }]) {
      const whole = { [CERT]: good.certificate, [KEY]: good.key, ...env };
      const { code, stdout } = await run(['config', 'check'], { env: whole });
      assert.equal(code, 0, stdout);
    }
  });

  test('an expired certificate: refused in production mode, a warning elsewhere', async () => {
    const { certificate, key } = authority.issue('yesterday', { days: -1 });
    await isRefused({ ...PRODUCTION, [CERT]: certificate, [KEY]: key }, CERT, certificate, /expired/);
    await isWarned({ [CERT]: certificate, [KEY]: key }, CERT, /expired/);
  });

  test('a key that others can read: refused in production mode, a warning elsewhere', async () => {
    const file = authority.path('readable.key');
    copyFileSync(good.key, file);
    chmodSync(file, 0o644);
    await isRefused({ ...PRODUCTION, [KEY]: file }, KEY, file, /644/);
    await isWarned({ [KEY]: file }, KEY, /644/);
    chmodSync(file, 0o640);
    const { code, stdout } = await run(['config', 'check'], { env: { [CERT]: good.certificate, [KEY]: file } });
    assert.equal(code, 0);
    assert.doesNotMatch(stdout, /KEY_FILE/);
  });

  test('a certificate without the public URL\'s name: refused in production mode, unless it is not to be checked', async () => {
    const env = { ...PRODUCTION, WEBSOCKET_PUBLIC_URL: 'https://ws.example.com' };
    await isRefused(env, CERT, good.certificate, /ws\.example\.com/);
    const { code, stdout } = await run(['config', 'check'], {
      env: { [CERT]: good.certificate, [KEY]: good.key, ...env, WEBSOCKET_SSL_CHECK_HOSTNAME: 'false' },
    });
    assert.equal(code, 0, stdout);
  });

  test('client certificates without their authority, and an empty bundle of authorities', async () => {
    const CA = 'WEBSOCKET_SSL_CA_FILE';
    await isRefused({ WEBSOCKET_SSL_CLIENT_AUTH: 'required' }, CA, null, /client certificates are required/);
    const empty = at('empty-bundle.pem', '');
    await isRefused({ WEBSOCKET_SSL_CLIENT_AUTH: 'required', [CA]: empty }, CA, empty, /empty/);
  });

  test('versions that are weak', async () => {
    for (const version of ['SSLv3', 'TLSv1', 'TLSv1_1']) {
      await isRefused({ WEBSOCKET_SSL_VERSION: version }, 'WEBSOCKET_SSL_VERSION', version, /weak/);
    }
  });

  test('a cipher string that leaves nothing of TLS 1.2, unless only TLS 1.3 is spoken', async () => {
    const env = { WEBSOCKET_SSL_CIPHERS: 'DHE+AESGCM' };
    await isRefused(env, 'WEBSOCKET_SSL_CIPHERS', 'DHE+AESGCM', /DHE-RSA-AES256-GCM-SHA384/);
    const { code, stdout } = await run(['config', 'check'], {
      env: { [CERT]: good.certificate, [KEY]: good.key, ...env, WEBSOCKET_SSL_VERSION: 'TLSv1_3' },
    });
    assert.equal(code, 0, stdout);
  });
});
