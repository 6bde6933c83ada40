// Who clients are: tokens by every way and algorithm, what is refused and how clients hear of it, what the policy allows.
// At the end the log is asked whether any of it is in there.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';

import { startSingle, temporaryDirectory } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { Client, closeClients, connect } from './support/client.mjs';
import { growth, logLines, openSocket, refusal, securityLines, TELLING } from './support/doors.mjs';
import { Polling } from './support/raw.mjs';
import { Key, keySet, now, tampered, unsigned } from './support/tokens.mjs';
import { until } from './support/wait.mjs';

const SECRET = 'planted-secret-0123456789-abcdefghij';
const ISSUER = 'https://id.example.com';
const shared = Key.secret(SECRET);
const pem = ['RS256', 'ES256', 'EdDSA'].map((algorithm) => Key.pair(algorithm));
const set = [Key.pair('ES256', 'first'), Key.pair('RS256', 'second'), Key.pair('EdDSA', 'third')];

// The chat of the policy's documentation, on the namespace that the relay serves.
const POLICY = `version = 1
[namespaces."/"]
connect = ["authenticated"]
otherwise = "deny"
[[namespaces."/".rules]]
deny = ["publish", "broadcast"]
who = ["role:muted"]
rooms = ["**"]
[[namespaces."/".rules]]
allow = ["join", "publish", "broadcast"]
who = ["role:moderator"]
rooms = ["**"]
[[namespaces."/".rules]]
allow = ["join"]
who = ["authenticated"]
rooms = ["announcements"]
[[namespaces."/".rules]]
allow = ["join", "publish"]
who = ["authenticated"]
rooms = ["public:*"]
[[namespaces."/".rules]]
allow = ["join"]
who = ["authenticated"]
rooms = ["inbox:{user}"]
[[namespaces."/".rules]]
allow = ["publish"]
who = ["authenticated"]
rooms = ["inbox:*"]
`;

let node;
const shown = new Set();
/** A token whose every part must stay out of the log. */
const planted = (token) => {
  for (const part of token.split('.')) if (part.length > 20) shown.add(part);
  return token;
};
const token = (claims, key = shared, header) => planted(key.token({ iss: ISSUER, aud: 'chat', ...claims }, header));
const by = (text) => ({ auth: { token: planted(text) } });
const enter = (claims, name = claims.sub) => connect(name, node.url, by(token(claims)));

before(async () => {
  const directory = temporaryDirectory();
  const file = (name, text) => {
    writeFileSync(path.join(directory, name), text, { mode: 0o600 });
    return path.join(directory, name);
  };
  node = await startSingle({
    options: TELLING,
    env: {
      WEBSOCKET_AUTH_JWT_SECRET_FILE: file('secret', `${SECRET}\n`),
      WEBSOCKET_AUTH_JWT_KEY_FILE: file('keys.pem', pem.map((key) => key.pem).join('')),
      WEBSOCKET_AUTH_JWKS_FILE: file('jwks.json', keySet(...set)),
      WEBSOCKET_AUTH_POLICY_FILE: file('policy.toml', POLICY),
      WEBSOCKET_AUTH_ISSUER: ISSUER,
      WEBSOCKET_AUTH_AUDIENCE: 'chat',
      WEBSOCKET_AUTH_CLOCK_SKEW: '0',
    },
  });
  atEnd(() => node.kill());
  atEnd(closeClients);
});

describe('tokens that are good', () => {
  const users = [
    ['HS256 with the shared secret', shared],
    ...pem.map((key) => [`${key.algorithm} with a public key in PEM`, key]),
    ...set.map((key) => [`${key.algorithm} with the key ${key.kid} of a key set`, key]),
  ];
  for (const [what, key] of users) {
    test(`${what} is accepted in the auth object and in the Authorization header`, async () => {
      const object = await connect(what, node.url, by(token({ sub: 'alice' }, key)));
      const header = await connect(what, node.url, {
        extraHeaders: { authorization: `Bearer ${token({ sub: 'alice' }, key)}` },
      });
      for (const client of [object, header]) {
        await client.join('inbox:alice');
        client.close();
      }
    });
  }

  test('a token is good for polling as well', async () => {
    const client = await connect('polling', node.url, { transports: ['polling'], ...by(token({ sub: 'alice' })) });
    assert.deepEqual(await client.ask('echo', 1), [1]);
    client.close();
  });

  test('the auth object goes before the Authorization header: a bad token in it is not made good by another one', async () => {
    const extraHeaders = { authorization: `Bearer ${token({ sub: 'alice' })}` };
    const error = await refusal(node.url, { extraHeaders, ...by('no token at all') });
    assert.equal(error.data.code, 'token_invalid');
  });
});

describe('tokens that are refused', () => {
  const good = { sub: 'alice' };
  const cases = [
    ['no token', 'auth_required', () => ({})],
    ['an empty token', 'auth_required', () => ({ auth: { token: '' } })],
    ['a token in the query, which nobody configured', 'auth_required', () => ({ query: { token: token(good) } })],
    ['an expired token', 'token_expired', () => by(token({ ...good, exp: now() - 2 }))],
    [
      'a token of another secret',
      'token_invalid',
      () => by(token(good, Key.secret('another-secret-0123456789-abcdefghij'))),
    ],
    ['a token of another pair', 'token_invalid', () => by(token(good, Key.pair('ES256')))],
    ['a token of another pair under a known kid', 'token_invalid', () => by(token(good, Key.pair('ES256', 'first')))],
    ['a known pair under an unknown kid', 'token_invalid', () => by(token(good, set[0], { kid: 'unheard' }))],
    ['alg none', 'token_invalid', () => by(unsigned({ iss: ISSUER, aud: 'chat', ...good }))],
    ['alg none under a good signature', 'token_invalid', () => by(token(good, shared, { alg: 'none' }))],
    [
      'tampered claims',
      'token_invalid',
      () => by(tampered(token(good), { iss: ISSUER, aud: 'chat', sub: 'root', roles: ['moderator'] })),
    ],
    ['a public key used as a shared secret', 'token_invalid', () => by(token(good, Key.secret(pem[0].pem)))],
    ['a critical extension', 'token_invalid', () => by(token(good, shared, { crit: ['b64'], b64: false }))],
    ['a token without an end', 'token_invalid', () => by(token({ ...good, exp: undefined }))],
    ['a token that is not good yet', 'token_invalid', () => by(token({ ...good, nbf: now() + 600 }))],
    ['another issuer', 'token_invalid', () => by(token({ ...good, iss: 'https://evil.example' }))],
    ['another audience', 'token_invalid', () => by(token({ ...good, aud: 'billing' }))],
    ['a token without a user', 'token_invalid', () => by(token({}))],
    ['an end that is a text', 'token_invalid', () => by(token({ ...good, exp: String(now() + 600) }))],
    ['garbage', 'token_invalid', () => by('a.b.c')],
    ['20 kB of garbage', 'token_invalid', () => by(`${'x'.repeat(10_000)}.${'y'.repeat(5_000)}.${'z'.repeat(5_000)}`)],
    ['an auth object whose token is a number', 'token_invalid', () => ({ auth: { token: 7 } })],
  ];
  for (const [what, code, options] of cases) {
    test(`${what}: connect_error ${code}`, async () => {
      const error = await refusal(node.url, options());
      assert.equal(error.data?.code, code, `${error.message} ${JSON.stringify(error.data)}`);
      assert.ok(error.message.length > 0);
    });
  }

  test('each of these is one failed authentication more in the metrics', async () => {
    const [failures, events] = await growth(
      node,
      [['websocket_security_auth_failures_total'], ['websocket_security_events_total', { type: 'auth_failure' }]],
      async () => {
        for (const [, , options] of cases) await refusal(node.url, options());
      },
    );
    assert.deepEqual([failures, events], [cases.length, cases.length]);
  });

  test('a good token is no failed authentication', async () => {
    const [failures] = await growth(node, [['websocket_security_auth_failures_total']], () => enter(good));
    assert.equal(failures, 0);
  });

  test("what is wrong with a signature is the log's to know: clients hear one and the same answer", async () => {
    const errors = [];
    for (const bad of [token(good, Key.secret('x'.repeat(40))), token({ ...good, aud: 'billing' }), 'a.b.c']) {
      errors.push(await refusal(node.url, by(bad)));
    }
    assert.equal(new Set(errors.map(({ message, data }) => JSON.stringify([message, data]))).size, 1);
    const told = () => securityLines(node).findLast(({ event_type: type }) => type === 'authentication_failed');
    await until('the log says so', told);
    assert.deepEqual([told().client_ip, told().error_code], ['127.0.0.1', 'AUTH_FAILED']);
  });

  test('a refused client does not try again by itself, however it reconnects otherwise', async () => {
    const client = new Client('refused', node.url, by(token({ ...good, exp: now() - 2 })));
    await until('the client is refused', () => client.errors.length > 0);
    assert.equal(client.socket.active, false, 'the client would connect again by itself');
    // Others come in meanwhile, each taking longer than the client's pause before a reconnection.
    for (let index = 0; index < 5; index += 1) (await enter(good, `other ${index}`)).close();
    assert.equal(client.errors.length, 1);
    client.socket.auth = by(token(good)).auth;
    client.socket.connect();
    await client.connected();
    client.close();
  });

  test('before a client is known it can do nothing: its events close the connection or are lost, and are never answered', async () => {
    const polling = await Polling.open(node.url, { connect: false });
    await polling.post('420["echo","hello"]');
    const { text } = await polling.get();
    assert.ok(!text.includes('hello'), text);
  });
});

describe('the policy', () => {
  const forbidden = async (client, ...call) => {
    const [answer] = await client.ask(...call);
    assert.equal(
      answer?.error?.code,
      'forbidden',
      `${client.name}: ${JSON.stringify(call)} was answered ${JSON.stringify(answer)}`,
    );
    assert.equal(typeof answer.error.message, 'string');
  };

  test('who may join which rooms, and who may not', async () => {
    const alice = await enter({ sub: 'alice' });
    for (const room of ['announcements', 'public:lobby', 'inbox:alice']) await alice.join(room);
    for (const room of ['inbox:bob', 'inbox:alice:drafts', 'public:a:b', 'private', 'public', alice.id])
      await forbidden(alice, 'join', room);
    const rooms = await alice.call('rooms');
    assert.deepEqual(rooms.filter((room) => room !== alice.id).sort(), [
      'announcements',
      'inbox:alice',
      'public:lobby',
    ]);
    alice.close();
  });

  test('a room that a client may not join does not tell it who is inside either', async () => {
    const [alice, bob] = [await enter({ sub: 'alice' }), await enter({ sub: 'bob' })];
    await bob.join('inbox:bob');
    await forbidden(alice, 'members', 'inbox:bob');
    assert.deepEqual((await bob.ask('members', 'inbox:bob'))[0], [bob.id]);
    for (const client of [alice, bob]) client.close();
  });

  test('who may publish where: what is forbidden reaches nobody, what is allowed arrives', async () => {
    const [alice, bob] = [await enter({ sub: 'alice' }), await enter({ sub: 'bob' })];
    for (const room of ['inbox:bob', 'announcements', 'public:lobby']) await bob.join(room);
    for (const verb of ['publish', 'publish_volatile']) {
      await forbidden(alice, verb, 'announcements', 'm', { id: `forbidden ${verb}` });
      await forbidden(alice, verb, bob.id, 'm', { id: `forbidden ${verb}` });
    }
    await alice.publish('inbox:bob', { id: 'direct' });
    await alice.publish('public:lobby', { id: 'public' });
    await bob.received(2);
    assert.deepEqual(bob.seen, ['direct', 'public']);
    for (const client of [alice, bob]) client.close();
  });

  test('roles decide: a moderator announces, a muted moderator reads and does not write', async () => {
    const alice = await enter({ sub: 'alice' });
    const moderator = await enter({ sub: 'mod', roles: ['moderator'] });
    const muted = await enter({ sub: 'mute', roles: ['moderator', 'muted'] });
    await alice.join('announcements');
    await muted.join('private');
    await forbidden(muted, 'publish', 'announcements', 'm', { id: 'muted' });
    await forbidden(muted, 'publish', 'public:lobby', 'm', { id: 'muted' });
    await moderator.publish('announcements', { id: 'news' });
    await alice.received(1);
    assert.deepEqual(alice.seen, ['news']);
    for (const client of [alice, moderator, muted]) client.close();
  });

  test('what the policy forbids is counted as forbidden, not as a failed authentication', async () => {
    const alice = await enter({ sub: 'alice' });
    const [denied, failures] = await growth(
      node,
      [['websocket_security_events_total', { type: 'forbidden' }], ['websocket_security_auth_failures_total']],
      () => forbidden(alice, 'join', 'private'),
    );
    assert.deepEqual([denied, failures], [1, 0]);
    alice.close();
  });

  test('a namespace that is for others: connect_error forbidden for a user, and the connection goes on', async () => {
    const other = await startSingle({
      options: ['--log-format', 'json', '--auth-policy', policyFor('role:staff')],
      env: { WEBSOCKET_AUTH_JWT_SECRET: SECRET },
    });
    atEnd(() => other.kill());
    const error = await refusal(other.url, by(token({ sub: 'alice' })));
    assert.equal(error.data?.code, 'forbidden');
    assert.equal((await refusal(other.url)).data?.code, 'auth_required');
    const staff = await connect('staff', other.url, by(token({ sub: 'bob', roles: ['staff'] })));
    assert.deepEqual(await staff.ask('echo', 1), [1]);
    staff.close();
  });

  test('nobody gets into /admin of a bare node, whatever the token says', async () => {
    for (const roles of [[], ['admin']]) await refusal(node.url, by(token({ sub: 'alice', roles })), '/admin');
  });
});

function policyFor(who) {
  const file = path.join(temporaryDirectory(), 'policy.toml');
  writeFileSync(file, `version = 1\n[namespaces."/"]\nconnect = ["${who}"]\notherwise = "allow"\n`);
  return file;
}

describe('the log', () => {
  /** The first lines that hold one of these, shortened. */
  const leaks = (of, secrets) => {
    const lines = of
      .output()
      .split('\n')
      .filter((line) => secrets.some((secret) => line.includes(secret)));
    return lines.slice(0, 3).map((line) => line.slice(0, 160));
  };

  test('no part of any token, nor the secret, is in the debug log of the node that was shown all of them', () => {
    assert.ok(shown.size > 50, `only ${shown.size} secrets were planted`);
    assert.ok(
      logLines(node).some(({ level }) => level === 'DEBUG'),
      'the log is not of the level debug',
    );
    assert.deepEqual(leaks(node, [SECRET, ...shown]), []);
  });

  for (const level of ['debug', 'trace']) {
    test(`at the level ${level} neither tokens nor resume secrets nor payloads are in the log, on either transport`, async () => {
      const talkative = await startSingle({
        options: ['--log-format', 'json', '--log-level', level],
        env: { WEBSOCKET_AUTH_JWT_SECRET: SECRET },
      });
      atEnd(() => talkative.kill());
      const secrets = [SECRET, 'planted-payload'];
      const auth = { token: token({ sub: 'alice' }) };
      secrets.push(...auth.token.split('.').slice(1));
      const socket = await openSocket(talkative.url, { auth });
      socket.send('420["echo","planted-payload"]');
      await socket.take((packet) => packet.startsWith?.('430'));
      const polling = await Polling.open(talkative.url, { connect: false });
      await polling.send(`40${JSON.stringify(auth)}`);
      const session = JSON.parse((await polling.poll())[0].slice(2));
      await polling.send('420["echo","planted-payload"]');
      await polling.packets(1);
      secrets.push(socket.session.pid, session.pid);
      socket.end();
      await polling.send('1');
      await talkative.kill('SIGTERM');
      assert.deepEqual(leaks(talkative, secrets), []);
    });
  }
});
