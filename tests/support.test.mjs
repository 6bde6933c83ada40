// The judge judged: the oracle finds what is planted, the proxy does to connections what it says.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';

import { audit, assertClean, contradiction, Ledger } from './support/oracle.mjs';
import './support/cleanup.mjs';
import { TcpProxy } from './support/tcp_proxy.mjs';
import { until } from './support/wait.mjs';

const ledgerOf = (...ids) => {
  const ledger = new Ledger();
  for (const id of ids) {
    const [publisher, sequence] = id.split(':');
    ledger.invoke(publisher, Number(sequence), 'r').outcome = 'ok';
  }
  return ledger;
};
const client = (seen, more = {}) => ({
  name: 'c', rooms: new Set(['r']), seen, connects: [{ recovered: false, id: 's' }], ...more,
});

test('the oracle is silent about a clean run', () => {
  const ledger = ledgerOf('p:1', 'p:2', 'q:1');
  ledger.invoke('q', 2, 'r').outcome = 'info';
  const clients = [
    client(['p:1', 'q:1', 'p:2'], { connects: [{ recovered: false, id: 's' }, { recovered: true, id: 's' }] }),
    client(['p:1', 'q:1', 'p:2', 'q:2']),
  ];
  assertClean(audit(ledger, clients));
});

test('the oracle finds every planted fault', () => {
  const ledger = ledgerOf('p:1', 'p:2', 'q:1');
  const findings = (seen, more) => {
    const report = audit(ledger, [client(['p:1', 'q:1', 'p:2']), client(seen, more)]);
    return Object.keys(report).filter((kind) => report[kind].length > 0);
  };
  assert.deepEqual(findings(['p:1', 'p:2']), ['lost']);
  assert.deepEqual(findings(['p:1', 'q:1', 'q:1', 'p:2']), ['twice']);
  assert.deepEqual(findings(['p:1', 'q:1', 'p:2', 'x:1']), ['foreign']);
  assert.deepEqual(findings(['q:1', 'p:1', 'p:2']), ['disorder']);
  assert.deepEqual(findings(['p:2', 'p:1', 'q:1']), ['disorder']);
  const again = (connect) => findings(['p:1', 'q:1', 'p:2'], { connects: [{ recovered: false, id: 's' }, connect] });
  assert.deepEqual(again({ recovered: false, id: 't' }), ['unrecovered']);
  assert.deepEqual(again({ recovered: true, id: 't' }), ['unrecovered']);
  assert.throws(() => assertClean(audit(ledger, [client([])])), /3 lost/);
});

test('a contradiction over three clients is found, though each pair agrees', () => {
  assert.equal(contradiction([['a', 'b'], ['b', 'c'], ['a', 'c']]), null);
  assert.deepEqual(contradiction([['a', 'b'], ['b', 'c'], ['c', 'a']])?.sort(), ['a', 'b', 'c']);
});

test('the proxy fails over, resets half-open, refuses and holds', async () => {
  const serve = async (greeting) => {
    const sockets = [];
    const server = net.createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.write(greeting);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { server, sockets, url: `http://127.0.0.1:${server.address().port}` };
  };
  const first = await serve('first');
  const second = await serve('second');
  const proxy = await TcpProxy.listen([first.url, second.url]);
  const dial = () => {
    const socket = net.connect(Number(new URL(proxy.url).port), '127.0.0.1');
    socket.on('error', () => {});
    return socket;
  };
  const one = dial();
  assert.equal(String((await once(one, 'data'))[0]), 'first');
  one.resume();
  assert.equal(proxy.halfOpenAll(), 1);
  await until('the client was reset', () => one.destroyed);
  assert.equal(first.sockets[0].destroyed, false, 'the node was told');
  proxy.forgetHalfOpen();
  first.sockets[0].destroy();
  await new Promise((resolve) => first.server.close(resolve));

  const two = dial();
  assert.equal(String((await once(two, 'data'))[0]), 'second');
  proxy.holdAfter(3);
  let received = '';
  two.on('data', (chunk) => { received += chunk; });
  const held = once(proxy, 'held');
  second.sockets[0].write('abcdef');
  await held;
  await until('the first three bytes came', () => received.length >= 3);
  assert.equal(received, 'abc');
  proxy.release();
  await until('the rest came', () => received === 'abcdef');

  proxy.refusing = true;
  const three = dial();
  await until('the client was refused', () => three.destroyed);
  assert.equal(second.sockets.length, 1);
  two.destroy();
  await proxy.close();
  await new Promise((resolve) => second.server.close(resolve));
});
