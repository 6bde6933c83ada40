// Webhooks: what happens to sessions and rooms is told a receiver, signed, at least once and in order, whichever node dies;
// what it does not take is tried again, then a dead letter that operators look at and have told again.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { serveBackend } from './support/backend.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { Cluster, run } from './support/cluster.mjs';
import { metric } from './support/doors.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

const SECRET = 'planted-webhook-0123456789abcdef';
const TYPES = ['session.disconnected', 'session.expired', 'session.closed', 'room.vacated'];

describe('three nodes', () => {
  let receiver;
  let cluster;
  /** What the receiver makes of a message: a status, now or later. */
  let judge = () => 204;
  /** Messages that it took, in the order in which it did. */
  const taken = [];
  before(async () => {
    receiver = await serveBackend(SECRET, async (request) => {
      const status = await judge(request.json);
      if (status < 300) taken.push(request);
      return [status, {}, ''];
    });
    cluster = await Cluster.start(3, {
      options: ['--recovery-window', '2s', '--webhook-attempts', '3'],
      env: {
        WEBSOCKET_WEBHOOK_URL: receiver.url('/hook?key=c4n4ry'),
        WEBSOCKET_WEBHOOK_ALLOW_PRIVATE: 'true',
        WEBSOCKET_WEBHOOK_SECRET: SECRET,
      },
    });
  });
  after(async () => {
    await cluster.stop();
    await receiver.close();
  });

  /** Messages about a session or a room that were taken, each once, as the receiver knows them apart: by their ids. */
  const told = (name) => {
    const seen = new Map();
    for (const { json } of taken) if (json.sid === name || json.room === name) seen.set(json.id, json.type);
    return [...seen.values()];
  };
  const isTold = (name, ...types) =>
    until(() => `the receiver knows of ${name}: ${types} (it does of ${told(name)})`, () => types.every((type) => told(name).includes(type)));
  /** Clients that do not come back, each in a room of its own. */
  const visitors = (node, name, count) =>
    Promise.all(
      Array.from({ length: count }, async (_, index) => {
        const client = await connect(`${name} ${index}`, node.url, { reconnection: false });
        await client.join(`${name} room ${index}`);
        return { client, sid: client.id, room: `${name} room ${index}` };
      }),
    );
  const webhooks = (args, node = cluster.alive[0]) => run(['webhooks', ...args, '--addr', node.adminUrl]);

  test('each end is told once, signed, with an id of its own: of a client that leaves, of one that is lost, of their rooms', async () => {
    const [[left], [lost]] = await Promise.all([visitors(cluster.nodes[0], 'left', 1), visitors(cluster.nodes[1], 'lost', 1)]);
    left.client.close();
    lost.client.drop();
    await isTold(left.sid, 'session.closed');
    await isTold(left.room, 'room.vacated');
    await isTold(lost.sid, 'session.disconnected', 'session.expired');
    await isTold(lost.room, 'room.vacated');
    assert.deepEqual(told(left.sid), ['session.closed']);
    assert.deepEqual(told(lost.sid), ['session.disconnected', 'session.expired']);
    const ids = taken.map(({ json }) => json.id);
    assert.equal(new Set(ids).size, ids.length, 'while nobody dies nothing is told twice');
    for (const { json, headers, signed, path } of taken) {
      assert.deepEqual([signed, path, headers['vedfolnir-event-id'], json.version, json.namespace], [true, '/hook?key=c4n4ry', json.id, 1, '/']);
      assert.ok(TYPES.includes(json.type), json.type);
    }
    assert.equal(taken.find(({ json }) => json.type === 'session.disconnected').json.node_down, false);
    for (const node of cluster.nodes) assert.doesNotMatch(node.output(), /c4n4ry|planted-webhook/);
  });

  test('the node of the clients is killed, then the leader that tells of it: nothing is skipped, each session is in order', async () => {
    const [home] = await cluster.followers();
    const gone = await visitors(home, 'gone', 20);
    const isOurs = ({ sid, room }) => gone.some((visitor) => visitor.sid === sid || visitor.room === room);
    const held = [];
    let holds = true;
    judge = (json) => (holds && isOurs(json) ? new Promise((resolve) => held.push(() => resolve(204))) : 204);
    await home.kill();
    await home.restart();
    // All twenty are told of at once; the receiver takes five of them, and the rest is under way when the leader dies.
    await until('the receiver is told of all of them', () => held.length >= gone.length);
    for (const take of held.splice(0, 5)) take();
    const leader = await cluster.leader();
    await leader.kill();
    holds = false;
    for (const take of held.splice(0)) take();
    for (const { sid, room } of gone) {
      await isTold(sid, 'session.disconnected', 'session.expired');
      await isTold(room, 'room.vacated');
      assert.deepEqual(told(sid), ['session.disconnected', 'session.expired'], 'each once by its id, in this order');
      assert.deepEqual(told(room), ['room.vacated']);
    }
    const bodies = new Map();
    for (const { json } of taken) {
      assert.deepEqual(bodies.get(json.id) ?? json, json, 'the same id is the same message');
      bodies.set(json.id, json);
    }
    judge = () => 204;
    await leader.restart();
    await cluster.leader();
  });

  test('what fails is tried again; what keeps failing is a dead letter, in nobody’s way, looked at and told again', async () => {
    const [shaky, bad, other, fine] = await visitors(cluster.nodes[0], 'judged', 4);
    const attempts = new Map();
    let isBroken = true;
    judge = ({ id, sid }) => {
      attempts.set(sid, (attempts.get(sid) ?? 0) + 1);
      if (sid === shaky.sid) return attempts.get(sid) < 3 ? 500 : 200;
      return isBroken && [bad.sid, other.sid].includes(sid) ? 503 : 200;
    };
    for (const { client } of [bad, other, shaky, fine]) client.close();
    await isTold(fine.sid, 'session.closed');
    await isTold(shaky.sid, 'session.closed');
    assert.equal(attempts.get(shaky.sid), 3);
    // Of any node.
    const listed = async (node) => JSON.parse((await webhooks(['dead-letters', 'list', '--json'], node)).stdout).letters;
    await until('both are given up', async () => (await listed(cluster.nodes[1])).length === 2);
    for (const node of cluster.nodes) {
      const letters = await listed(node);
      assert.deepEqual(letters.map(({ body }) => body.sid).sort(), [bad.sid, other.sid].sort());
      assert.deepEqual(letters.map(({ type, attempts: made }) => [type, made]), [['session.closed', 3], ['session.closed', 3]]);
      assert.match(letters[0].last_error, /503/);
      assert.equal(await metric(node, 'vedfolnir_webhook_dead_letters'), 2);
    }
    const letters = await listed();
    const id = letters.find(({ body }) => body.sid === bad.sid).id;
    assert.equal(JSON.parse((await webhooks(['dead-letters', 'show', id])).stdout).body.sid, bad.sid);
    const refused = await webhooks(['dead-letters', 'replay', id]);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /not taken.*503/);
    assert.equal((await listed()).length, 2, 'it stays');
    isBroken = false;
    const replayed = await webhooks(['dead-letters', 'replay', '--all']);
    assert.equal(replayed.code, 0, replayed.stderr);
    for (const { sid } of [bad, other]) assert.deepEqual(told(sid), ['session.closed']);
    assert.match((await webhooks(['dead-letters', 'list'])).stdout, /no dead letters/);
    const unknown = await webhooks(['dead-letters', 'drop', id]);
    assert.notEqual(unknown.code, 0);
    assert.match(unknown.stderr, /no dead letter/);
    const status = JSON.parse((await webhooks(['status', '--json'])).stdout);
    assert.deepEqual([status.dead_letters, status.lost, status.types], [0, 0, TYPES]);
    assert.doesNotMatch(JSON.stringify(status), /c4n4ry/);
    await until('everything is settled', async () => JSON.parse((await webhooks(['status', '--json'])).stdout).events_behind === 0);
  });
});
