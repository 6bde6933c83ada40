// `vedfolnir trace`: where one session's messages are, from the log to its transport, asked of any node, over the death of
// its owner.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { Cluster, run } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { TcpProxy } from './support/tcp_proxy.mjs';
import { until } from './support/wait.mjs';

const MARK = 'planted-payload-0123456789';
/** As the node prints a position. */
const place = ({ index, ordinal }) => `${index}.${ordinal}`;
const places = (trace) => trace.committed.listed.map(({ position }) => place(position));

describe('three nodes', () => {
  let cluster;
  before(async () => {
    cluster = await Cluster.start(3);
    atEnd(() => cluster.stop());
    atEnd(closeClients);
  });

  const traceOf = async (node, session, ...more) => {
    const { code, stdout, stderr } = await run(['trace', '--session', session, '--addr', node.adminUrl, '--json', '--last', '1000', ...more]);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };
  const idOf = async (node) => (await node.status()).node_id;
  /** The reports of all living nodes, once each says that nothing is outstanding of `count`. */
  const settled = (session, count) =>
    until(
      'every node says that all was handed over',
      async () => {
        const traces = await Promise.all(cluster.alive.map((node) => traceOf(node, session)));
        const done = traces.every(({ committed, outstanding, handed }) => committed.count === count && outstanding === 0 && handed.exact);
        return done ? traces : null;
      },
      { every: 100 },
    );

  test('the owner is killed amid a stream: no position is missing, the resume is there, nothing is outstanding, whoever is asked', async () => {
    const leader = await cluster.leader();
    const [owner, other] = await cluster.followers();
    const client = await connect('client', [owner.url, other.url]);
    const publisher = await connect('publisher', leader.url);
    await client.join('traced room');
    const { id: session } = client;
    const said = [];
    const publish = async (id) => said.push((await publisher.publish('traced room', { id, MARK })).offset);
    for (let id = 0; id < 20; id += 1) await publish(id);
    await client.received(20);
    await settled(session, 20);

    await owner.kill();
    for (let id = 20; id < 40; id += 1) await publish(id);
    assert.equal((await client.reconnected()).recovered, true);
    await client.received(40);
    assert.deepEqual(client.seen, Array.from({ length: 40 }, (_, id) => id));

    const [trace, ...others] = await settled(session, 40);
    assert.equal(trace.verdict, 'committed for it: 40; handed to its transport: 40; outstanding: 0');
    assert.equal(trace.committed.incomplete, false);
    for (const seen of others) assert.deepEqual(places(seen), places(trace), 'every replica says the same');
    assert.equal(new Set(places(trace)).size, 40);
    for (const { event, namespace, rooms, handed } of trace.committed.listed)
      assert.deepEqual([event, namespace, rooms, handed], ['m', '/', ['traced room'], true]);

    const [ownerId, otherId] = [trace.nodes.find(({ silent }) => silent).node, await idOf(other)];
    assert.notEqual(ownerId, otherId);
    assert.deepEqual(
      [trace.session.owner, trace.session.epoch, trace.session.connected, trace.session.rooms],
      [otherId, 2, true, [session, 'traced room'].sort()],
    );
    const heir = trace.nodes.find(({ node }) => node === otherId);
    const [resume, ...more] = heir.resumes;
    assert.deepEqual(more, []);
    assert.deepEqual([resume.outcome, resume.epoch], ['recovered', 2]);
    // What the client said it has is one of its messages, and it was replayed from there on.
    assert.ok(places(trace).includes(place(resume.from)));
    assert.deepEqual(resume.replayed_after, resume.from);
    assert.ok(Math.abs(Date.now() - resume.at_unix_ms) < 3_600_000);
    assert.equal(heir.socket.epoch, 2);
    assert.equal(heir.socket.waiting_events, 0);

    const { code, stdout, stderr } = await run(['trace', '--session', session, '--addr', leader.adminUrl]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^committed for it: 40; handed to its transport: 40; outstanding: 0$/m);
    assert.match(stdout, new RegExp(`^node ${ownerId} +does not answer \\(.+\\): what it knew beyond the log is not in this report$`, 'm'));
    assert.match(stdout, new RegExp(`${otherId} +recovered +${place(resume.from).replace('.', '\\.')} `));
    assert.doesNotMatch(stdout, new RegExp(MARK));
    await owner.restart();
  });

  test('a client that is away: what its living owner had handed is known, the rest is outstanding, and is there once it is back', async () => {
    const [owner] = await cluster.followers();
    const proxy = await TcpProxy.listen([owner.url]);
    const client = await connect('client that goes', proxy.url);
    const publisher = await connect('another publisher', (await cluster.leader()).url);
    await client.join('left room');
    const { id: session } = client;
    for (let id = 0; id < 3; id += 1) await publisher.publish('left room', { id });
    await client.received(3);
    proxy.refusing = true;
    proxy.cutAll();
    for (let id = 3; id < 8; id += 1) await publisher.publish('left room', { id });
    const away = await until('its departure is known', async () => {
      const trace = await traceOf(owner, session);
      return trace.session.connected || trace.committed.count < 8 ? null : trace;
    });
    assert.equal(away.verdict, 'committed for it: 8; handed to its transport: 3; outstanding: 5');
    assert.equal(away.handed.exact, true);
    assert.ok(away.session.recoverable_ms > 0);
    assert.deepEqual(away.committed.listed.map(({ handed }) => handed), [...Array(3).fill(true), ...Array(5).fill(false)]);
    proxy.refusing = false;
    await client.received(8);
    await settled(session, 8);
    await proxy.close();
  });

  test('what it sent to all others, and what was said before it joined or after it left, is not for a session', async () => {
    const client = await connect('member', cluster.urls[0]);
    const publisher = await connect('third publisher', cluster.urls[1]);
    await publisher.publish('third room', { id: 0 });
    await client.join('third room');
    await publisher.publish('third room', { id: 1 });
    await client.received(1);
    await client.call('leave', 'third room');
    await publisher.publish('third room', { id: 2 });
    const traces = await settled(client.id, 1);
    for (const { committed } of traces) assert.deepEqual(committed.listed.map(({ rooms }) => rooms), [['third room']]);
  });

  test('a session that is none is one line and exit code 1; one that ended says how', async () => {
    const unknown = await run(['trace', '--session', 'nobody/&=', '--addr', cluster.nodes[0].adminUrl]);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /^vedfolnir: no session goes by the id "nobody\/&=": .+\n$/);
    assert.equal(unknown.stdout, '');

    const client = await connect('leaver', cluster.urls[0]);
    const { id: session } = client;
    await settled(session, 0);
    client.close();
    const ended = await until('its end is known', async () => {
      const result = await run(['trace', '--session', session, '--addr', cluster.nodes[1].adminUrl]);
      return result.code === 0 ? null : result;
    });
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /^vedfolnir: the session ".+" ended \d+ s of cluster time ago at \d+\.\d+: its client or the server closed it\n$/);
  });

  test('a session by its secret is no session, and the secret is in no answer', async () => {
    const client = await connect('secretive', cluster.urls[0]);
    const pid = client.socket._pid;
    assert.ok(pid, 'the client has a secret');
    assert.equal((await run(['trace', '--session', pid, '--addr', cluster.nodes[0].adminUrl])).code, 1);
    const [trace] = await settled(client.id, 0);
    assert.ok(!JSON.stringify(trace).includes(pid));
  });
});
