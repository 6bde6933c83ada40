// Logins by cookie: who made the browser send it (cross-site request forgery), on both transports.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { startSingle } from './support/cluster.mjs';
import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect } from './support/client.mjs';
import { ask, askUpgrade, growth, openSocket, OPENING, refusal, securityLines, TELLING } from './support/doors.mjs';
import { Key } from './support/tokens.mjs';

const SECRET = 'planted-secret-0123456789-abcdefghij';
const PAGE = 'https://app.example.com';
const shared = Key.secret(SECRET);
const login = (sub) => `login=${shared.token({ sub })}`;
const ALICE = login('alice');

let node;
const start = async (env) => {
  const started = await startSingle({
    options: TELLING,
    env: { WEBSOCKET_AUTH_JWT_SECRET: SECRET, WEBSOCKET_AUTH_COOKIE: 'login', ...env },
  });
  atEnd(() => started.kill());
  return started;
};
before(async () => {
  node = await start({ WEBSOCKET_CORS_ALLOWED_ORIGINS: PAGE });
  atEnd(closeClients);
});

/** The three ways to act with a cookie: open by polling, open by WebSocket, post into a session. */
async function statuses(headers, url = node.url) {
  const sid = await openSession(url);
  const post = ask(url, `${OPENING}&sid=${sid}`, { method: 'POST', body: '6', headers });
  return Promise.all(
    [ask(url, OPENING, { headers }), askUpgrade(url, { headers }), post].map(async (asked) => (await asked).status),
  );
}

/** A polling session of somebody without a cookie. */
async function openSession(url = node.url) {
  return JSON.parse((await ask(url)).text.slice(1)).sid;
}

/** What an allowed page gets at its handshake: the session, and the CSRF cookie's value. */
async function handshake(cookie = ALICE, url = node.url, more = {}) {
  const { headers, text } = await ask(url, OPENING, { headers: { Origin: PAGE, Cookie: cookie, ...more } });
  const [set] = headers['set-cookie'] ?? [];
  return { sid: JSON.parse(text.slice(1)).sid, set, token: /^csrf_token=([^;]+)/.exec(set)?.[1] };
}

describe("requests with a login's cookie", () => {
  test('without an allowed Origin and without a token: 403 csrf_failure on both transports and on a POST', async () => {
    assert.deepEqual(await statuses({ Cookie: ALICE }), [403, 403, 403]);
    const { json } = await ask(node.url, OPENING, { headers: { Cookie: ALICE } });
    assert.equal(json?.error, 'csrf_failure');
    assert.equal(typeof json.message, 'string');
  });

  test('from an allowed page: they pass', async () => {
    assert.deepEqual(await statuses({ Cookie: ALICE, Origin: PAGE }), [200, 101, 200]);
  });

  test("from another site's page: 403, whatever else they say", async () => {
    assert.deepEqual(await statuses({ Cookie: ALICE, Origin: 'https://evil.example' }), [403, 403, 403]);
    const { token } = await handshake();
    const all = { Cookie: `${ALICE}; csrf_token=${token}`, 'X-CSRFToken': token, 'Sec-Fetch-Site': 'same-origin' };
    assert.deepEqual(await statuses({ ...all, Origin: 'https://evil.example' }), [403, 403, 403]);
  });

  test('Sec-Fetch-Site, which no page can set: same-origin is a proof, same-site and cross-site are none', async () => {
    assert.deepEqual(await statuses({ Cookie: ALICE, 'Sec-Fetch-Site': 'same-origin' }), [200, 101, 200]);
    for (const site of ['same-site', 'cross-site', 'garbage']) {
      assert.deepEqual(await statuses({ Cookie: ALICE, 'Sec-Fetch-Site': site }), [403, 403, 403], site);
    }
    assert.equal((await statuses({ Cookie: ALICE, 'Sec-Fetch-Site': 'none' }))[2], 403);
  });

  test('Referer is no proof', async () => {
    assert.deepEqual(await statuses({ Cookie: ALICE, Referer: `${PAGE}/` }), [403, 403, 403]);
  });

  test("a poll needs no proof: it changes nothing, and the page would have to know the session's id", async () => {
    const { sid } = await handshake();
    await ask(node.url, `${OPENING}&sid=${sid}`, {
      method: 'POST',
      body: '40',
      headers: { Origin: PAGE, Cookie: ALICE },
    });
    const { status, text } = await ask(node.url, `${OPENING}&sid=${sid}`, { headers: { Cookie: ALICE } });
    assert.equal(status, 200);
    assert.match(text, /^40/);
  });

  test('requests without the cookie, or with other cookies only, are not meant', async () => {
    for (const headers of [{}, { Cookie: 'theme=dark; xlogin=1; LOGIN=1' }])
      assert.deepEqual(await statuses(headers), [200, 101, 200]);
  });

  test('each failure is counted and in the log', async () => {
    const [failures, events] = await growth(
      node,
      [['websocket_security_csrf_failures_total'], ['websocket_security_events_total', { type: 'csrf_failure' }]],
      () => statuses({ Cookie: ALICE }),
    );
    assert.deepEqual([failures, events], [3, 3]);
    const line = securityLines(node).findLast(({ event_type: type }) => type === 'csrf_failure');
    assert.equal(line?.client_ip, '127.0.0.1');
  });
});

describe('the token', () => {
  test('it comes as a cookie with the handshake of a login, readable by the page and sent by no other site', async () => {
    const { set } = await handshake();
    assert.match(set, /^csrf_token=[\w-]{40,};/);
    assert.match(set, /SameSite=(Lax|Strict)/);
    assert.match(set, /Path=\//);
    assert.doesNotMatch(set, /HttpOnly/i);
    const anonymous = await ask(node.url, OPENING, { headers: { Origin: PAGE } });
    assert.equal(anonymous.headers['set-cookie'], undefined);
  });

  test('a refused request is given none', async () => {
    const { status, headers } = await ask(node.url, OPENING, { headers: { Cookie: ALICE } });
    assert.equal(status, 403);
    assert.equal(headers['set-cookie'], undefined);
  });

  test('shown in X-CSRFToken beside its cookie it is a proof, without any Origin', async () => {
    const { token } = await handshake();
    for (const name of ['X-CSRFToken', 'X-CSRF-Token']) {
      assert.deepEqual(
        await statuses({ Cookie: `${ALICE}; csrf_token=${token}`, [name]: token }),
        [200, 101, 200],
        name,
      );
    }
  });

  test("a token that is not the cookie's, that was changed, or that was made for another login is none", async () => {
    const { token } = await handshake();
    const other = (await handshake(login('bob'))).token;
    const changed = token.slice(0, 40) + (token[40] === 'A' ? 'B' : 'A') + token.slice(41);
    const bad = [
      ['no cookie', { Cookie: ALICE, 'X-CSRFToken': token }],
      ['no header', { Cookie: `${ALICE}; csrf_token=${token}` }],
      ['another header', { Cookie: `${ALICE}; csrf_token=${token}`, 'X-CSRFToken': other }],
      ['both changed', { Cookie: `${ALICE}; csrf_token=${changed}`, 'X-CSRFToken': changed }],
      ["another login's, planted", { Cookie: `${ALICE}; csrf_token=${other}`, 'X-CSRFToken': other }],
      ['made up', { Cookie: `${ALICE}; csrf_token=x`, 'X-CSRFToken': 'x' }],
      ['empty', { Cookie: `${ALICE}; csrf_token=`, 'X-CSRFToken': '' }],
    ];
    for (const [what, headers] of bad) assert.deepEqual(await statuses(headers), [403, 403, 403], what);
  });

  test('with * no origin is a proof, and the token is the only one', async () => {
    const open = await start({ WEBSOCKET_CORS_ALLOWED_ORIGINS: '*' });
    assert.deepEqual(await statuses({ Cookie: ALICE, Origin: PAGE }, open.url), [403, 403, 403]);
    const { headers } = await ask(open.url, OPENING, { headers: { Cookie: ALICE, 'Sec-Fetch-Site': 'same-origin' } });
    const token = /^csrf_token=([^;]+)/.exec(headers['set-cookie'][0])[1];
    const proof = { Cookie: `${ALICE}; csrf_token=${token}`, 'X-CSRFToken': token };
    assert.deepEqual(await statuses({ ...proof, Origin: PAGE }, open.url), [200, 101, 200]);
  });

  test('it is in no log, and neither is the login', async () => {
    const { token } = await handshake();
    await statuses({ Cookie: `${ALICE}; csrf_token=${token}`, 'X-CSRFToken': token });
    await statuses({ Cookie: `${ALICE}; csrf_token=${token}`, 'X-CSRFToken': `${token}x` });
    const signature = ALICE.split('.')[2];
    for (const secret of [token, signature, SECRET]) assert.ok(!node.output().includes(secret));
  });
});

describe('clients that log in by cookie', () => {
  const options = (cookie, more) => ({ extraHeaders: { cookie, origin: PAGE, ...more } });

  for (const transports of [['polling', 'websocket'], ['websocket'], ['polling']]) {
    test(`an official client of an allowed page is its cookie's user by ${transports.join(' and then ')}`, async () => {
      const client = await connect('alice', node.url, { transports, ...options(ALICE) });
      const second = await connect('alice again', node.url, { transports, ...options(ALICE) });
      await client.join('room');
      await second.publish('room', { id: 1 });
      await client.received(1);
      for (const one of [client, second]) one.close();
    });
  }

  test('a bad cookie is refused with its code, as any bad token', async () => {
    assert.equal((await refusal(node.url, options('login=a.b.c'))).data?.code, 'token_invalid');
    assert.equal(
      (await refusal(node.url, options(`login=${shared.token({ sub: 'alice', exp: 1 })}`))).data?.code,
      'token_expired',
    );
    assert.equal((await refusal(node.url, options('login='))).data?.code, 'auth_required');
  });

  test('the auth object goes before the cookie', async () => {
    const error = await refusal(node.url, { ...options(ALICE), auth: { token: 'a.b.c' } });
    assert.equal(error.data?.code, 'token_invalid');
  });

  test("a foreign page that knows the cookie's name gets no WebSocket, although CORS does not hold those back", async () => {
    assert.equal(
      (await askUpgrade(node.url, { headers: { cookie: ALICE, origin: 'https://evil.example' } })).status,
      403,
    );
    const socket = await openSocket(node.url, { headers: { cookie: ALICE, origin: PAGE } });
    socket.end();
  });
});
