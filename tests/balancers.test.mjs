// Each shipped configuration of NGINX and HAProxy, run for real in front of three nodes: all ways to connect, who the client
// is, what is sticky. What dies behind them: `make proxies` (tests/long/balancers.test.mjs).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Balancer, CONFIGURATIONS, fetchOver, HOST, over, replaced } from './support/balancers.mjs';
import { assertInOrder, established, issued, ownerOf, startNodes } from './support/behind.mjs';
import { Chromium } from './support/chromium.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { run } from './support/cluster.mjs';
import { OPENING } from './support/doors.mjs';
import { PageClient, startSite } from './support/page.mjs';
import { pace, until } from './support/wait.mjs';

const REPOSITORY = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const CLIENT = '127.0.0.42';
/** A ping each two seconds, and balancers that let nothing be idle for longer than five: as 25 and 60 are. */
const [PING_SECONDS, PATIENCE_SECONDS] = [2, 5];

let nodes;
let site;
const balancers = new Map();
before(async () => {
  const certificate = issued();
  site = await startSite(certificate.identity);
  atEnd(() => site.close());
  nodes = await startNodes(certificate, {
    WEBSOCKET_PING_INTERVAL: `${PING_SECONDS}s`,
    WEBSOCKET_CORS_ALLOWED_ORIGINS: site.origin,
    WEBSOCKET_CORS_CREDENTIALS: 'true',
    // Nodes give cookies of their own: of the same name as the balancers'.
    WEBSOCKET_SESSION_AFFINITY: 'true',
  });
  atEnd(() => nodes.cluster.stop());
  await Promise.all(
    CONFIGURATIONS.map(async (configuration) => {
      const end = configuration.program === 'nginx' ? ';' : '\n';
      const timers = [[` 60s${end}`, ` ${PATIENCE_SECONDS}s${end}`]];
      const balancer = await Balancer.start(configuration, nodes.cluster, { ...nodes, timers });
      atEnd(() => balancer.stop());
      balancers.set(configuration.name, balancer);
    }),
  );
  atEnd(closeClients);
});

for (const { name, program, sticky, tcp } of CONFIGURATIONS) {
  describe(name, () => {
    const balancer = () => balancers.get(name);
    const come = (who, transports, more = {}) => connect(who, balancer().url, { transports, ...over({ from: CLIENT, ...more }) });

    test(`${name}: twenty of twenty go from polling to WebSocket; polling alone and WebSocket alone keep order`, async () => {
      await Promise.all(Array.from({ length: 20 }, async (_, index) => {
        const client = await come(`client ${index}`, ['polling', 'websocket']);
        await until(`${client.name} is on WebSocket`, () => client.socket.io.engine.transport.name === 'websocket');
        assert.deepEqual(await client.ask('echo', client.name), [client.name]);
        assert.deepEqual([client.connects.length, client.errors.length], [1, 0]);
        client.close();
      }));
      const [polling, socket] = await Promise.all(['polling', 'websocket'].map((transport) => come(transport, [transport])));
      const room = `order ${name}`;
      await Promise.all([polling.join(room), socket.join(room)]);
      await Promise.all(Array.from({ length: 40 }, (_, id) => polling.publish(room, { id })));
      for (const client of [polling, socket]) {
        await client.received(40);
        assertInOrder(client, 40);
        client.close();
      }
    });

    test(`${name}: the log has the client, its scheme and its host, whatever the client says of itself`, async () => {
      const spoofed = {
        'X-Forwarded-For': '6.6.6.6', 'X-Real-IP': '6.6.6.6', 'X-Forwarded-Host': 'evil.example',
        'X-Forwarded-Proto': 'http', Forwarded: 'for=6.6.6.6;host=evil.example;proto=http',
      };
      for (const transport of ['polling', 'websocket']) {
        const client = await come(transport, [transport], { extra: { extraHeaders: spoofed } });
        const { client_ip: address, scheme, host } = await established(nodes.cluster, client.id);
        assert.deepEqual([address, scheme, host.replace(/:\d+$/, '')], [CLIENT, 'https', 'localhost']);
        client.close();
      }
    });

    test(`${name}: the node of five requests in a row is ${sticky ? `one, by ${sticky}` : 'another one each time'}; the access log names it`, async () => {
      const ids = [];
      let cookie = '';
      for (let index = 0; index < 5; index += 1) {
        const { status, headers, text } = await fetchOver(balancer().url, '/websocket/health', { from: CLIENT, headers: cookie ? { cookie } : {} });
        assert.equal(status, 200);
        cookie = headers['set-cookie']?.map((line) => line.split(';')[0]).join('; ') || cookie;
        ids.push(JSON.parse(text).server_id);
        // Its detailed form is for operators.
        assert.equal(JSON.parse(text).checks, undefined);
      }
      assert.equal(new Set(ids).size, sticky ? 1 : 3, `${ids}`);
      const named = program === 'nginx' ? /upstream=127\.0\.0\.1:\d+/ : /websocket_backend\/app[123]/;
      await until('the access log names the node', () => named.test(balancer().log()));
      assert.doesNotMatch(balancer().log(), /sid=/);
    });

    if (tcp) return;
    test(`${name}: plain HTTP is sent to HTTPS in one hop, and what is no part of the service is not there`, async () => {
      const { status, headers } = await fetch(`${balancer().plainUrl}/x?y=1`, { redirect: 'manual' });
      assert.deepEqual([status, headers.get('location')], [308, `https://${HOST}/x?y=1`]);
      for (const nowhere of ['/', '/websocket/metrics', '/admin', '/status']) {
        assert.equal((await fetchOver(balancer().url, nowhere)).status, 404, nowhere);
      }
    });
  });
}

test('an idle client outlives every balancer, whose patience is longer than a ping takes', async () => {
  const idle = await Promise.all([...balancers].flatMap(([name, { url }]) =>
    ['polling', 'websocket'].map((transport) => connect(`${name}, ${transport}`, url, { transports: [transport], ...over({ from: CLIENT }) }))));
  await pace(1_400 * PATIENCE_SECONDS);
  for (const client of idle) {
    assert.deepEqual(await client.ask('echo', 1), [1], client.name);
    assert.deepEqual([client.connects.length, client.disconnects.length], [1, 0], client.name);
    client.close();
  }
});

describe('a browser', () => {
  let page;
  before(async () => {
    const browser = await Chromium.start(['--ignore-certificate-errors']);
    atEnd(() => browser.close());
    page = await browser.open(`${site.origin}/`);
  });

  for (const [name, polls, speaks] of [
    ['nginx round-robin', /"GET \/socket\.io\/ HTTP\/2\.0" 200/, /"GET \/socket\.io\/ HTTP\/1\.1" 101/],
    ['haproxy cookie', / 200 .* GET \/socket\.io\/ HTTP\/2\.0/, / (101|200) .* GET \/socket\.io\/ HTTP\/2\.0/],
    ['haproxy h2', / 200 .* GET \/socket\.io\/ HTTP\/2\.0/, / (101|200) .* GET \/socket\.io\/ HTTP\/2\.0/],
    ['nginx stream', null, null],
  ]) {
    test(`through ${name}: polls over HTTP/2, then speaks WebSocket${name.startsWith('nginx round') ? ' over HTTP/1.1' : ' inside HTTP/2'}`, async () => {
      const client = await PageClient.connect(page, name, balancers.get(name).url);
      await until('the page is on WebSocket', async () => (await client.look()).transport === 'websocket', { every: 50 });
      assert.deepEqual(await client.ask('echo', 'ünïcödé'), ['ünïcödé']);
      assert.deepEqual(client.errors, []);
      await client.close();
      for (const pattern of [polls, speaks].filter(Boolean)) {
        await until(() => `the access log has ${pattern}; its end: ${balancers.get(name).log().slice(-2_000)}`, () => pattern.test(balancers.get(name).log()));
      }
    });
  }

  for (const name of ['nginx cookie', 'haproxy cookie']) {
    test(`${name}: three connects come to one node, also those of a page that has been there, and no two cookies fight`, async () => {
      const { url } = balancers.get(name);
      const owners = new Set();
      for (const which of ['one', 'two', 'three']) {
        const client = await PageClient.connect(page, `${name} ${which}`, url);
        owners.add(ownerOf((await client.look()).sid));
        await client.close();
      }
      assert.equal(owners.size, 1, [...owners].join());
      const { headers } = await fetchOver(url, OPENING);
      const cookies = headers['set-cookie'].filter((line) => line.startsWith('WEBSOCKET_SERVER='));
      assert.equal(cookies.length, 1, cookies.join('\n'));
      assert.match(cookies[0], /; *path=\/.*; *HttpOnly; *Secure; *SameSite=Lax/i);
    });
  }
});

test('the commands of docs/load-balancers.md print what both programs accept', async () => {
  const page = readFileSync(path.join(REPOSITORY, 'docs/load-balancers.md'), 'utf8');
  const [, block] = page.match(/^```sh\n(.*?)^```$/ms);
  const lines = block.trim().split('\n');
  assert.equal(lines.length, 2);
  for (const line of lines) {
    const [, ...args] = line.replace('/etc/vedfolnir/vedfolnir.env', path.join(REPOSITORY, 'deploy/websocket_production_config.env.example')).split(' ');
    const { code, stdout, stderr } = await run(args);
    assert.equal(code, 0, stderr);
    for (const node of ['10.0.0.1:5000', '10.0.0.2:5000', '10.0.0.3:5000']) assert.ok(stdout.includes(`server ${line.includes('haproxy') ? `app${node[7]} ` : ''}${node}`), stdout);
    const [program] = line.match(/nginx|haproxy/);
    const pem = path.join(balancers.get('haproxy cookie').directory, 'server.pem');
    const config = replaced(stdout, program === 'nginx'
      ? [[`/etc/ssl/certs/${HOST}.pem`, nodes.identity.certificate], [`/etc/ssl/private/${HOST}.key`, nodes.identity.key], ['/var/log/nginx/vedfolnir.log', '/dev/null']]
      : [[`/etc/ssl/private/${HOST}.pem`, pem]]);
    const judged = await Balancer.judge(program, program === 'nginx' ? `events {}\nhttp {\n${config}\n}\n` : config);
    assert.equal(judged.code, 0, judged.output);
    assert.doesNotMatch(judged.output, /\[warn|WARNING/i);
  }
});

describe('the text of the production document', () => {
  const text = readFileSync(path.join(REPOSITORY, 'tests/support/document.conf'), 'utf8');
  const part = (name) => text.split(`#### ${name}\n`)[1].split('####')[0];
  const addresses = ['app1', 'app2', 'app3'].map((host) => [`${host}.example.com:5000`, '127.0.0.1:5000']);

  test('passes nginx -t', async () => {
    const config = replaced(part('nginx'), [
      ...addresses,
      ['server_name yourdomain.com;', `server_name yourdomain.com; ssl_certificate ${nodes.identity.certificate}; ssl_certificate_key ${nodes.identity.key};`],
    ]);
    const { code, output } = await Balancer.judge('nginx', `events {}\nhttp {\n${config}\n}\n`);
    assert.equal(code, 0, output);
  });

  test('passes haproxy -c, which misses the time-outs that the shipped files have', async () => {
    const pem = path.join(balancers.get('haproxy cookie').directory, 'server.pem');
    const config = replaced(part('haproxy'), [...addresses, ['/etc/ssl/certs/yourdomain.pem', pem]]);
    const { code, output } = await Balancer.judge('haproxy', `defaults\n    mode http\n${config}`);
    assert.equal(code, 0, output);
    assert.match(output, /missing timeouts/);
  });
});
