// TLS of the public listener: official clients over it, versions, suites and certificates as openssl sees them, HTTP/2.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import { before, describe, test } from 'node:test';

import { Receiver, Sender } from 'ws';

import { atEnd } from './support/cleanup.mjs';
import { Authority, openssl } from './support/certificates.mjs';
import { closeClients, connect } from './support/client.mjs';
import { ask, curl, POLLING_PATH, sClient, startSecure, UPGRADE, WEBSOCKET_PATH } from './support/tls.mjs';
import { until, within } from './support/wait.mjs';

/** The document's, of which three suites are never offered. */
const CIPHERS = 'ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!MD5:!DSS';

const authority = new Authority();
const client = authority.issue('operations', { usage: 'clientAuth', names: null });
const showing = ({ certificate, key }) => ['-cert', certificate, '-key', key, '-cert_chain', certificate];

atEnd(closeClients);

describe('a node with an RSA certificate and the cipher string of the document', () => {
  const server = authority.issue('server', { kind: 'rsa' });
  let node;
  before(async () => {
    node = await startSecure(server, {
      WEBSOCKET_SSL_CIPHERS: CIPHERS,
      WEBSOCKET_SSL_CA_FILE: authority.root,
      WEBSOCKET_SSL_CLIENT_AUTH: 'optional',
    });
    atEnd(() => node.kill());
  });

  for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
    test(`an official client over ${transports.join(' and ')} verifies the certificate and is echoed`, async () => {
      for (const url of [node.secureUrl, `https://localhost:${node.securePort}`]) {
        const here = await connect(transports.join(), url, { transports, ca: authority.pem });
        await until('the last transport is in use', () => here.socket.io.engine.transport.name === transports.at(-1));
        const big = Buffer.alloc(200_000, 7);
        const [text, bytes] = await here.ask('echo', 'ünïcödé', big);
        assert.equal(text, 'ünïcödé');
        assert.ok(big.equals(bytes));
        await here.join('room');
        await here.publish('room', { id: transports.length });
        await here.received(1);
        assert.equal(here.errors.length, 0, here.errors[0]?.message);
        here.close();
      }
    });
  }

  test('a client that does not know the authority does not connect', async () => {
    await assert.rejects(ask(`${node.secureUrl}/websocket/health`), /certificate/);
  });

  test('status names the address with TLS for the clients', async () => {
    const { nodes } = await node.status();
    assert.equal(nodes[0].url, node.secureUrl);
  });

  test('TLS 1.2 and 1.3 are spoken and verified, 1.1 and 1.0 are refused with the alert protocol_version', async () => {
    for (const version of ['1_2', '1_3']) {
      const seen = await sClient(node, authority, `-tls${version}`);
      assert.ok(seen.verified, seen.text);
      assert.equal(seen.status, 200, seen.text);
      assert.match(seen.text, new RegExp(`^New, TLSv${version.replace('_', '.')}, Cipher is`, 'm'));
    }
    for (const version of ['1_1', '1']) {
      // The security level, so that openssl itself does not refuse to ask.
      const seen = await sClient(node, authority, `-tls${version}`, '-cipher', 'ALL:@SECLEVEL=0');
      assert.match(seen.text, /alert protocol version/);
      assert.equal(seen.status, null);
    }
  });

  test('TLS 1.2 has exactly the three ECDHE suites, of all that openssl has; those dropped are named once', async () => {
    const chosen = [];
    for (;;) {
      const rest = chosen.map((name) => `:!${name}`).join('');
      const offered = `ALL:COMPLEMENTOFALL:@SECLEVEL=0${rest}`;
      const { cipher, text } = await sClient(node, authority, '-tls1_2', '-cipher', offered);
      if (!cipher) {
        assert.match(text, /handshake failure/);
        break;
      }
      chosen.push(cipher);
      assert.ok(chosen.length < 20, chosen.join());
    }
    const suites = ['RSA-AES128-GCM-SHA256', 'RSA-AES256-GCM-SHA384', 'RSA-CHACHA20-POLY1305'];
    assert.deepEqual(chosen.toSorted(), suites.map((suite) => `ECDHE-${suite}`));
    const warnings = node.output().split('\n').filter((line) => suites.every((suite) => line.includes(` DHE-${suite}`)));
    assert.equal(warnings.length, 1, node.output());
    assert.match(warnings[0], / WARNING /);
  });

  test('the three suites of TLS 1.3 are spoken', async () => {
    for (const suite of ['TLS_AES_256_GCM_SHA384', 'TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256']) {
      const { cipher, text } = await sClient(node, authority, '-tls1_3', '-ciphersuites', suite);
      assert.equal(cipher, suite, text);
    }
  });

  test('what is served is the leaf and the intermediate, and openssl verify agrees', async () => {
    const { text } = await sClient(node, authority, '-showcerts');
    const served = text.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g);
    assert.equal(served.length, 2, text);
    const [leaf, chain] = ['leaf.pem', 'chain.pem'].map((name) => authority.path(`served-${name}`));
    writeFileSync(leaf, served[0]);
    writeFileSync(chain, served[1]);
    assert.match(openssl('verify', '-CAfile', authority.root, '-untrusted', chain, leaf), /: OK/);
    assert.equal(openssl('x509', '-in', leaf, '-noout', '-serial').trim(), `serial=${server.serial}`);
  });

  test('an optional client certificate: without one all is well, with one its subject is in the log', async () => {
    assert.equal((await sClient(node, authority)).status, 200);
    const { status, text } = await sClient(node, authority, ...showing(client));
    assert.equal(status, 200, text);
    await until('the subject is in the log', () => node.output().includes('CN=operations'));
  });

  test('ALPN: what the client prefers of h2 and http/1.1; a client without it gets HTTP/1.1', async () => {
    for (const [offered, agreed] of [['h2,http/1.1', 'h2'], ['h2', 'h2'], ['http/1.1', 'http/1.1']]) {
      // Over h2 the request of HTTP/1.1 is nonsense and ends the connection.
      const { alpn, text } = await sClient(node, authority, '-alpn', offered);
      assert.equal(alpn, agreed, text);
    }
    const { alpn, status } = await sClient(node, authority);
    assert.deepEqual({ alpn, status }, { alpn: null, status: 200 });
  });

  test('curl gets health over HTTP/2 and over HTTP/1.1', async () => {
    for (const [option, version] of [['--http2', '2'], ['--http1.1', '1.1']]) {
      const answer = await curl(authority, option, `${node.secureUrl}/websocket/health`);
      assert.deepEqual([answer.version, answer.status], [version, 200], answer.stderr);
      assert.equal(JSON.parse(answer.body).status, 'healthy');
    }
  });

  test('plain HTTP to the TLS port is answered 400 in words; noise is not answered and harms nobody', async () => {
    const answer = await ask(`http://127.0.0.1:${node.securePort}/websocket/health`);
    assert.equal(answer.status, 400);
    assert.match(answer.text, /HTTPS|TLS/);
    assert.equal(answer.headers['strict-transport-security'], undefined);
    const socket = net.connect(node.securePort, '127.0.0.1');
    // A reset will do.
    const gone = new Promise((resolve) => socket.on('error', () => {}).on('close', resolve));
    socket.resume().write(Buffer.from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    await within('the end of a connection that speaks no TLS', gone);
    assert.equal((await sClient(node, authority)).status, 200);
  });

  test('a WebSocket handshake with curl: a key of the wrong size gets 400 in JSON; the right size is switched', async () => {
    const headers = Object.entries({ ...UPGRADE, 'sec-websocket-key': 'test' });
    const options = ['--http1.1', ...headers.flatMap(([name, value]) => ['-H', `${name}: ${value}`])];
    for (const path of ['/socket.io/', WEBSOCKET_PATH]) {
      const { status, body, stderr } = await curl(authority, ...options, `${node.secureUrl}${path}`);
      assert.equal(status, 400, stderr);
      assert.equal(typeof JSON.parse(body).message, 'string');
    }
    const good = await ask(`${node.secureUrl}${WEBSOCKET_PATH}`, { ca: authority.pem, headers: UPGRADE });
    assert.deepEqual([good.status, good.headers.upgrade?.toLowerCase()], [101, 'websocket']);
  });

  describe('WebSocket over HTTP/2 (RFC 8441)', () => {
    let session;
    before(async () => {
      session = http2.connect(node.secureUrl, { ca: authority.pem, servername: 'localhost' });
      atEnd(() => session.destroy());
      await within('the settings of the server', once(session, 'remoteSettings'));
    });

    const extended = (path) => session.request({
      ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'https', ':path': path,
      ':authority': new URL(node.secureUrl).host, 'sec-websocket-version': '13',
    });

    /** What `ws` makes of a stream: a receiver that refuses masked frames, a sender that masks its own. */
    async function open() {
      const stream = extended(WEBSOCKET_PATH);
      const [headers] = await within('the answer to CONNECT', once(stream, 'response'));
      assert.equal(headers[':status'], 200);
      const receiver = new Receiver({ isServer: false });
      const packets = [];
      receiver.on('message', (data, isBinary) => packets.push(isBinary ? data : String(data)));
      const failures = [];
      receiver.on('error', (error) => failures.push(error));
      const codes = [];
      receiver.on('conclude', (code) => codes.push(code));
      stream.pipe(receiver);
      const send = (text, mask = true) => {
        const options = { fin: true, opcode: 1, mask, rsv1: false, readOnly: false };
        for (const part of Sender.frame(Buffer.from(text), options)) stream.write(part);
      };
      const take = async (start) => {
        const index = () => packets.findIndex((packet) => packet.startsWith(start));
        await until(() => `${start} came: ${packets} ${failures}`, () => index() >= 0);
        return packets.splice(index(), 1)[0];
      };
      return { stream, send, take, failures, codes };
    }

    test('the server says in its settings that it takes extended CONNECT', () => {
      assert.equal(session.remoteSettings.enableConnectProtocol, true);
    });

    test('200, an open packet in unmasked frames, an echo of what is sent masked; many on one connection', async () => {
      const sockets = await Promise.all(Array.from({ length: 5 }, open));
      for (const [index, { stream, send, take, failures }] of sockets.entries()) {
        const handshake = JSON.parse((await take('0{')).slice(1));
        assert.equal(typeof handshake.sid, 'string');
        assert.deepEqual(handshake.upgrades, []);
        send('40');
        assert.equal(typeof JSON.parse((await take('40')).slice(2)).sid, 'string');
        const text = `${index}${'x'.repeat(70_000)}`;
        send(`421["echo","${text}"]`);
        assert.equal(await take('431'), `431["${text}"]`);
        assert.deepEqual(failures, []);
        stream.close();
      }
    });

    test('a frame that is not masked ends its WebSocket and no other of the connection', async () => {
      const [bad, other] = [await open(), await open()];
      await bad.take('0{');
      bad.send('40', false);
      await until('the WebSocket is closed', () => bad.codes.length > 0);
      other.send('40');
      await other.take('40');
      other.stream.close();
    });

    test('polling and errors over HTTP/2 beside it: 200 and 400', async () => {
      for (const [path, status] of [[POLLING_PATH, 200], ['/socket.io/', 400], ['/nowhere', 404]]) {
        const stream = session.request({ ':path': path });
        const [headers] = await within(`the answer to ${path}`, once(stream.resume(), 'response'));
        assert.equal(headers[':status'], status, path);
      }
    });
  });
});

describe('a node that asks for TLS 1.3 and for client certificates', () => {
  let node;
  before(async () => {
    node = await startSecure(authority.issue('strict'), {
      WEBSOCKET_SSL_VERSION: 'TLSv1.3',
      WEBSOCKET_SSL_CA_FILE: authority.root,
      WEBSOCKET_SSL_CLIENT_AUTH: 'required',
    });
    atEnd(() => node.kill());
  });

  test('TLS 1.2 is refused with the alert protocol_version', async () => {
    const seen = await sClient(node, authority, '-tls1_2', ...showing(client));
    assert.match(seen.text, /alert protocol version/);
    assert.equal(seen.status, null);
  });

  test('without a certificate the handshake fails, with one of the authority it is served', async () => {
    const without = await sClient(node, authority, '-tls1_3');
    assert.match(without.text, /alert certificate required/);
    assert.equal(without.status, null);
    const shown = await sClient(node, authority, '-tls1_3', ...showing(client));
    assert.equal(shown.status, 200, shown.text);
    assert.ok(shown.verified);
  });

  test('a certificate of another authority, a server\'s certificate and an expired one are refused', async () => {
    const strangers = [
      new Authority().issue('stranger', { usage: 'clientAuth', names: null }),
      authority.issue('no-client', { usage: 'serverAuth' }),
      authority.issue('late', { usage: 'clientAuth', names: null, days: -1 }),
    ];
    for (const stranger of strangers) {
      const { status, text } = await sClient(node, authority, ...showing(stranger));
      assert.equal(status, null, text);
      assert.match(text, /alert/);
    }
  });

  test('an official client with a certificate is echoed', async () => {
    const here = await connect('with a certificate', node.secureUrl, {
      ca: authority.pem, cert: readFileSync(client.certificate), key: readFileSync(client.key),
    });
    assert.deepEqual(await here.ask('echo', 1), [1]);
    here.close();
  });
});
