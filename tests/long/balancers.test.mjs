// Nodes that die, drain and are under maintenance behind each shipped configuration, under load: official clients on both
// transports and in a browser miss nothing, see nothing twice, keep the order, and are recovered. `make proxies`.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { Balancer, CONFIGURATIONS, over } from '../support/balancers.mjs';
import { idsOf, issued, ownerOf, startNodes } from '../support/behind.mjs';
import { Chromium } from '../support/chromium.mjs';
import { atEnd } from '../support/cleanup.mjs';
import { closeClients, connect } from '../support/client.mjs';
import { run } from '../support/cluster.mjs';
import { assertClean, audit, Ledger } from '../support/oracle.mjs';
import { PageClient, startSite } from '../support/page.mjs';
import { Publisher } from '../support/publisher.mjs';
import { pace, until } from '../support/wait.mjs';

const ROOMS = ['red', 'green', 'blue'];
/** Of each: default options (polling, then the upgrade), polling only, WebSocket only. */
const TRANSPORTS = [['polling', 'websocket'], ['polling'], ['websocket']];
const CLIENTS = 15;
const MESSAGES_PER_SECOND = 60;
/** Load before, between and after faults. */
const STEADY_MS = 2_000;

let nodes;
let site;
let page;
before(async () => {
  const certificate = issued();
  site = await startSite(certificate.identity);
  atEnd(() => site.close());
  nodes = await startNodes(certificate, {
    WEBSOCKET_CORS_ALLOWED_ORIGINS: site.origin,
    WEBSOCKET_CORS_CREDENTIALS: 'true',
    WEBSOCKET_SESSION_AFFINITY: 'true',
    WEBSOCKET_LOG_LEVEL: 'INFO',
  });
  atEnd(() => nodes.cluster.stop());
  const browser = await Chromium.start(['--ignore-certificate-errors']);
  atEnd(() => browser.close());
  page = await browser.open(`${site.origin}/`);
  atEnd(closeClients);
});

/** Clients of every kind through a balancer, and publishers of which one polls: a POST that came twice would be seen twice. */
async function load(balancer, name) {
  const clients = await Promise.all(Array.from({ length: CLIENTS }, (_, index) =>
    connect(`${name} ${index}`, balancer.url, {
      transports: TRANSPORTS[index % TRANSPORTS.length], ...over({ from: `127.0.${index % 3}.${10 + index}` }),
    })));
  const browser = await PageClient.connect(page, `${name} browser`, balancer.url);
  const readers = [...clients, browser];
  await Promise.all(readers.map((reader, index) => reader.join(ROOMS[index % ROOMS.length])));
  const ledger = new Ledger();
  const publishers = await Promise.all(['polling', 'websocket'].map(async (transport, index) => {
    const client = await connect(`${name} publisher ${index}`, balancer.url, { transports: [transport], ...over({ from: '127.0.0.77' }) });
    return new Publisher(client, ledger, ROOMS).start(MESSAGES_PER_SECOND / 2);
  }));
  return {
    clients,
    browser,
    async end() {
      await Promise.all(publishers.map((publisher) => publisher.stop()));
      for (const publisher of publishers) await publisher.fence();
      const fences = ledger.acknowledged;
      await until('everybody has seen the last message of its rooms', async () => {
        await browser.look();
        return readers.every((reader) => {
          const last = fences.findLast(({ room }) => reader.rooms.has(room));
          return reader.seen.includes(last.id);
        });
      }, { every: 100 });
      await browser.look();
      const report = audit(ledger, readers.map(({ name: who, rooms, seen, connects }) => ({ name: who, rooms, seen, connects })));
      const figures = {
        published: ledger.acknowledged.length,
        unanswered: ledger.unknown.length,
        reconnections: readers.reduce((sum, { connects }) => sum + connects.length - 1, 0),
      };
      for (const { client } of publishers) client.close();
      for (const client of clients) client.close();
      await browser.close();
      return { report, figures };
    },
  };
}

/** New clients one after the other, each of which must come in at its first attempt. */
async function newcomers(balancer, count, transports) {
  const comers = [];
  for (let index = 0; index < count; index += 1) {
    const client = await connect(`newcomer ${index}`, balancer.url, { transports, ...over({ from: `127.0.${index}.${100 + index}` }) });
    assert.deepEqual(client.errors.map(({ message }) => message), [], 'a newcomer was turned away');
    client.owner = client.socket.io.engine.id;
    comers.push(client);
  }
  return comers;
}

for (const configuration of CONFIGURATIONS) {
  const { name, program, mode, tcp } = configuration;
  describe(name, () => {
    /** Each test has one of its own, which holds nothing against any node yet. */
    const start = async (t, timers = []) => {
      const balancer = await Balancer.start(configuration, nodes.cluster, { ...nodes, timers });
      t.after(() => balancer.stop());
      return balancer;
    };

    test(`${name}: kill -9 of the leader under load, newcomers meanwhile, and back`, async (t) => {
      const balancer = await start(t);
      const traffic = await load(balancer, `${name} kill`);
      await pace(STEADY_MS);
      const victim = await nodes.cluster.leader();
      await victim.kill();
      await nodes.cluster.leader();
      // A TCP balancer sees a connection that is refused, and tries the next node, as the others do.
      for (const client of await newcomers(balancer, 6, ['websocket'])) client.close();
      await pace(STEADY_MS);
      await victim.restart();
      await pace(STEADY_MS);
      const { report, figures } = await traffic.end();
      t.diagnostic(JSON.stringify(figures));
      assertClean(report);
      // NGINX lists every node that it sent a request to.
      assert.doesNotMatch(balancer.log(), /"POST [^"]*" .*upstream=\S+, /, 'a POST was sent twice');
      assert.ok(figures.reconnections > 0, 'nobody was at the node that died');
    });

    test(`${name}: SIGTERM of a node under load, newcomers meanwhile, and back`, async (t) => {
      const balancer = await start(t);
      const traffic = await load(balancer, `${name} drain`);
      await pace(STEADY_MS);
      const [victim] = await nodes.cluster.followers();
      victim.signal('SIGTERM');
      if (!tcp) for (const client of await newcomers(balancer, 6, ['polling'])) client.close();
      const { code } = await victim.kill('SIGCONT', 60_000);
      assert.equal(code, 0);
      await pace(STEADY_MS);
      await victim.restart();
      await pace(STEADY_MS);
      const { report, figures } = await traffic.end();
      t.diagnostic(JSON.stringify(figures));
      assertClean(report);
      // NGINX lists every node that it sent a request to.
      assert.doesNotMatch(balancer.log(), /"POST [^"]*" .*upstream=\S+, /, 'a POST was sent twice');
      assert.ok(figures.reconnections > 0, 'nobody was at the node that drained');
    });

    if (!tcp) {
      test(`${name}: a node under maintenance keeps its clients, gets no new ones, and gets them again`, async (t) => {
        const timers = program === 'nginx' ? [['fail_timeout=30s', 'fail_timeout=2s']] : [['inter 30s', 'inter 2s']];
        const balancer = await start(t, timers);
        const ids = await idsOf(nodes.cluster);
        const clients = await Promise.all(Array.from({ length: CLIENTS }, (_, index) =>
          connect(`${name} ${index}`, balancer.url, {
            transports: TRANSPORTS[index % TRANSPORTS.length], ...over({ from: `127.0.${index % 9}.${10 + index}` }),
          })));
        const victim = nodes.cluster.nodes.find((node) => clients.some((client) => ownerOf(client.socket.io.engine.id) === ids.get(node)));
        const switched = async (wish) => {
          const { code, stderr } = await run(['maintenance', wish, '--addr', victim.adminUrl]);
          assert.equal(code, 0, stderr);
        };
        await switched('on');
        const comers = [...await newcomers(balancer, 6, ['polling']), ...await newcomers(balancer, 6, ['websocket'])];
        for (const comer of comers) {
          assert.notEqual(ownerOf(comer.owner), ids.get(victim), 'a newcomer came to the node');
          comer.close();
        }
        if (program === 'haproxy') {
          await until(() => `HAProxy finds the node down: ${balancer.log().slice(-1_000)}`, () => /is DOWN, reason: Layer7 wrong status, code: 503/.test(balancer.log()));
        }
        for (const client of clients) {
          assert.deepEqual(await client.ask('echo', client.name), [client.name]);
          assert.deepEqual([client.connects.length, client.disconnects.length], [1, 0], client.name);
        }
        await switched('off');
        await until('the node gets clients again', async () => {
          const again = await newcomers(balancer, 9, ['polling']);
          for (const comer of again) comer.close();
          return again.some((comer) => ownerOf(comer.owner) === ids.get(victim));
        }, { every: 500 });
        assert.doesNotMatch(balancer.log(), /"POST [^"]*" .*upstream=\S+, /, 'a POST was sent twice');
        for (const client of clients) client.close();
      });
    }

    if (mode === 'ip-hash' || mode === 'source') {
      test(`${name}: clients of one address are at one node, those of many at all of them`, async (t) => {
        const balancer = await start(t);
        const owners = new Map();
        for (const from of ['127.0.0.1', '127.0.1.1', '127.0.2.1', '127.0.3.1', '127.0.4.1', '127.0.5.1', '127.0.6.1', '127.0.7.1', '127.0.8.1', '127.0.9.1']) {
          const own = new Set();
          for (let index = 0; index < 3; index += 1) {
            const client = await connect(from, balancer.url, { transports: ['polling'], ...over({ from }) });
            own.add(ownerOf(client.socket.io.engine.id));
            client.close();
          }
          assert.equal(own.size, 1, `${from} was at ${own.size} nodes`);
          owners.set(from, [...own][0]);
        }
        assert.equal(new Set(owners.values()).size, 3, 'not all nodes are used');
      });
    }
  });
}
