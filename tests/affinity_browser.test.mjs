// The affinity cookie in a real browser: who keeps it, with which requests it is sent, and that no page sees it.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { Authority } from './support/certificates.mjs';
import { Chromium } from './support/chromium.mjs';
import { atEnd } from './support/cleanup.mjs';
import { startSingle } from './support/cluster.mjs';
import { ObservingProxy } from './support/observing_proxy.mjs';
import { PageClient, startSite } from './support/page.mjs';
import { until } from './support/wait.mjs';

const NAME = 'WEBSOCKET_SERVER';

let browser;
let identity;
/** Origins of one site under two names: a host is a site, whatever the port. */
let origins;
before(async () => {
  identity = new Authority().issue('server');
  const site = await startSite(identity);
  atEnd(() => site.close());
  // Cookies of other sites are the user's choice; where they are kept out no SameSite lets them in.
  browser = await Chromium.start(['--ignore-certificate-errors'], { profile: { cookie_controls_mode: 0, block_third_party_cookies: false } });
  atEnd(() => browser.close());
  origins = { localhost: site.origin, address: site.origin.replace('localhost', '127.0.0.1') };
});

/** A node behind TLS at an address of its own, so that it shares its cookies with nobody: the proxy in front of it. */
async function served(address, sameSite) {
  const node = await startSingle({
    env: {
      WEBSOCKET_SESSION_AFFINITY: 'true',
      WEBSOCKET_SESSION_AFFINITY_SAMESITE: sameSite,
      WEBSOCKET_CORS_ALLOWED_ORIGINS: Object.values(origins).join(','),
      WEBSOCKET_CORS_CREDENTIALS: 'true',
      WEBSOCKET_TRUST_PROXY_HEADERS: 'true',
      WEBSOCKET_TRUSTED_PROXIES: '127.0.0.0/8',
    },
  });
  atEnd(() => node.kill());
  const proxy = await ObservingProxy.start(node.url, { address, identity });
  atEnd(() => proxy.close());
  return proxy;
}

/** Connects from the page until it is on WebSocket, and ends; what the node was asked: { handshake, polls, upgrade }. */
async function visit(page, proxy, name, options = {}) {
  const from = proxy.requests.length;
  const client = await PageClient.connect(page, name, proxy.url, options);
  await until(`${name} is on WebSocket`, async () => (await client.look()).transport === 'websocket');
  assert.deepEqual(await client.ask('echo', name), [name]);
  await client.close();
  const asked = proxy.requests.slice(from).filter(({ method }) => method !== 'OPTIONS');
  const [[handshake], later] = [false, true].map((hasSid) => asked.filter(({ url }) => url.includes('sid=') === hasSid));
  const [upgrade] = later.filter(({ headers }) => headers.upgrade === 'websocket');
  const polls = later.filter((request) => request !== upgrade);
  assert.ok(handshake && upgrade && polls.length > 0, JSON.stringify(asked.map(({ url }) => url)));
  return { handshake, polls, upgrade };
}

/** The cookie that a request shows; `undefined`: none. */
const shown = ({ headers }) => new RegExp(`${NAME}=([\\w-]+)`).exec(headers.cookie ?? '')?.[1];

/** Whatever comes with a visit's answers, none of its requests shows it, and it works without. */
async function assertNotKept(...call) {
  for (let time = 0; time < 2; time += 1) {
    const { handshake, polls, upgrade } = await visit(...call);
    assert.deepEqual([handshake, upgrade, ...polls].map(shown).filter(Boolean), []);
  }
}

/** A first visit brings the cookie, which every request from then on shows, the second visit's handshake too; no page sees it. */
async function assertKept(page, proxy) {
  const first = await visit(page, proxy, 'first');
  assert.equal(shown(first.handshake), undefined);
  const cookie = shown(first.upgrade);
  assert.match(cookie ?? '', /^[\w-]{44}$/);
  assert.deepEqual([...new Set(first.polls.map(shown))], [cookie]);
  const second = await visit(page, proxy, 'second');
  assert.deepEqual([...new Set([second.handshake, second.upgrade, ...second.polls].map(shown))], [cookie], 'it was replaced');
  // Nor a page of the service's own host.
  const own = await browser.open(`${proxy.url}/websocket/health`);
  assert.equal(await own.evaluate('document.cookie'), '');
  assert.equal(shown(proxy.requests.find(({ url }) => url === '/websocket/health')), cookie, 'the browser does not have it');
}

describe('a browser', { timeout: 120_000 }, () => {
  test('keeps it for a page of the same site, another origin though it is, and sends it with polls and upgrade', async () => {
    await assertKept(await browser.open(`${origins.address}/`), await served('127.0.0.1', 'lax'));
  });

  test('does not keep it for a page of another site, unless it is SameSite=None and the page asks with credentials', async () => {
    const page = await browser.open(`${origins.localhost}/`);
    await assertNotKept(page, await served('127.0.0.2', 'lax'), 'lax');
    const none = await served('127.0.0.3', 'none');
    await assertNotKept(page, none, 'without credentials', { withCredentials: false });
    await assertKept(page, none);
  });
});
