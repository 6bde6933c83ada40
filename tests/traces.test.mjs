// Traces: one message is one trace over every node that had to do with it; nothing is told that is not sampled, and a receiver
// in trouble troubles nobody else.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';

import { atEnd } from './support/cleanup.mjs';
import { closeClients, connect, MESSAGE } from './support/client.mjs';
import { Cluster, run, startSingle } from './support/cluster.mjs';
import { otlpReceiver } from './support/otlp.mjs';
import { until } from './support/wait.mjs';

atEnd(closeClients);

const SECRET = 'c4n4ry-of-the-receiver';

/** A client's own span, as it says it. */
function place({ sampled = true } = {}) {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-${sampled ? '01' : '00'}` };
}

async function nodeFor(t, url, env = {}) {
  const node = await startSingle({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: url, ...env } });
  t.after(() => node.kill());
  return node;
}

const metric = async (node, series) => {
  const page = await (await fetch(`${node.url}/websocket/metrics`)).text();
  return Number(page.split('\n').find((line) => line.startsWith(`${series} `))?.split(' ').at(-1));
};

/** The spans of a trace once there are as many as that. */
const traceOf = (receiver, traceId, count) => until(`${count} spans of the trace came`, async () => {
  const spans = (await receiver.spans()).filter((span) => span.traceId === traceId);
  return spans.length >= count && spans;
});

const named = (spans, name) => spans.filter((span) => span.name === name);

describe('a message', () => {
  test('is one trace: client, its node, the leader, the other nodes, their clients', { timeout: 120_000 }, async (t) => {
    const receiver = await otlpReceiver(t);
    const cluster = await Cluster.start(3, {
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: `${receiver.url}/otel/`,
        OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${SECRET},x-tenant=a`,
        OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
      },
    });
    t.after(() => cluster.stop());
    await until('the format rose', async () => (await Promise.all(cluster.nodes.map((node) => node.status()))).every(({ format }) => format >= 3));
    const leader = await cluster.leader();
    const [home, other] = await cluster.followers();
    const idOf = new Map(await Promise.all(cluster.nodes.map(async (node) => [node, (await node.health()).body.server_id])));

    const near = await connect('near', home.url);
    const far = await connect('far', other.url, { transports: ['polling'] });
    await Promise.all([near.join('room'), far.join('room')]);
    const mine = place();
    const publisher = await connect('publisher', home.url, { extraHeaders: { traceparent: mine.traceparent } });
    await publisher.publish('room', { id: 1 });
    await Promise.all([near.received(1), far.received(1)]);

    // handle, publish, commit, deliver twice, send twice.
    const spans = await traceOf(receiver, mine.traceId, 7);
    assert.equal(spans.length, 7, JSON.stringify(spans, null, 1));
    const [[handle], [publish], [commit], deliveries, sends] =
      ['handle publish', 'publish', 'commit', 'deliver', 'send'].map((name) => named(spans, name));
    assert.deepEqual([handle.parentSpanId, handle.kind], [mine.spanId, 'SPAN_KIND_SERVER']);
    assert.equal(handle.attributes['session.id'], publisher.id);
    assert.deepEqual([publish.parentSpanId, publish.kind], [handle.spanId, 'SPAN_KIND_PRODUCER']);
    assert.deepEqual([handle, publish].map(({ resource }) => resource['service.instance.id']), Array(2).fill(idOf.get(home)));
    assert.equal(commit.parentSpanId, publish.spanId);
    assert.equal(commit.resource['service.instance.id'], idOf.get(leader), 'the leader tells of the commit');
    assert.deepEqual(deliveries.map(({ parentSpanId }) => parentSpanId), Array(2).fill(publish.spanId));
    const deliveredBy = deliveries.map(({ resource }) => resource['service.instance.id']).sort();
    assert.deepEqual(deliveredBy, [idOf.get(home), idOf.get(other)].sort(), 'the leader has no member, and says nothing');
    for (const delivery of deliveries) {
      assert.equal(delivery.attributes['vedfolnir.sockets'], 1);
      assert.equal(delivery.attributes['vedfolnir.log.index'], commit.attributes['vedfolnir.log.index']);
    }
    const sent = Object.fromEntries(sends.map((send) => [send.attributes['session.id'], send]));
    assert.deepEqual(Object.keys(sent).sort(), [near.id, far.id].sort());
    assert.deepEqual([sent[near.id].attributes['network.protocol.name'], sent[far.id].attributes['network.protocol.name']], ['websocket', 'polling']);
    for (const send of sends) {
      const delivery = deliveries.find(({ spanId }) => spanId === send.parentSpanId);
      assert.equal(send.resource['service.instance.id'], delivery.resource['service.instance.id']);
    }
    for (const span of spans) {
      assert.ok(span.end >= span.start && span.start > 1.7e18, JSON.stringify(span));
      assert.deepEqual([span.error, span.status, span.flags & 1], ['', 0, 1]);
      assert.deepEqual([span.resource['service.name'], span.resource['deployment.environment.name']], ['vedfolnir', 'test']);
      assert.doesNotMatch(JSON.stringify(span.attributes), /"id":1/, 'no payload');
    }
    // The client's ack came after the commit: its node's span covers the leader's.
    assert.ok(handle.end >= commit.start && handle.start <= publish.start && publish.end <= handle.end);
    for (const { method, path, headers } of receiver.requests) {
      assert.deepEqual([method, path, headers['content-type'], headers['content-encoding']], ['POST', '/otel/v1/traces', 'application/x-protobuf', 'gzip']);
      assert.deepEqual([headers.authorization, headers['x-tenant']], [`Bearer ${SECRET}`, 'a']);
    }
    // What nobody asked for is told as well by default, in traces of its own.
    const all = await receiver.spans();
    const joins = named(all, 'handle join');
    assert.equal(joins.length, 2);
    assert.ok(joins.every(({ parentSpanId, traceId }) => parentSpanId === '' && traceId !== mine.traceId));
    for (const node of cluster.nodes) assert.doesNotMatch(node.output(), new RegExp(SECRET));
  });

  test('says by itself in which trace it is, or with its connection; what the client does not sample is not told', async (t) => {
    const receiver = await otlpReceiver(t);
    const node = await nodeFor(t, receiver.url, { WEBSOCKET_LOG_LEVEL: 'DEBUG', WEBSOCKET_JSON_LOGGING: 'true' });
    const [session, event, quiet] = [place(), place(), place({ sampled: false })];
    const client = await connect('client', node.url, { auth: { traceparent: session.traceparent } });
    await client.join('room');
    await client.call('publish', 'room', MESSAGE, { id: 1 }, { traceparent: event.traceparent });
    await client.call('publish', 'room', MESSAGE, { id: 2 }, { traceparent: quiet.traceparent });
    await client.received(2);
    assert.equal(client.messages[0].offset.traceparent, event.traceparent, 'the receiving client can go on with it');
    const spans = await traceOf(receiver, event.traceId, 5);
    assert.deepEqual(spans.map(({ name }) => name).sort(), ['commit', 'deliver', 'handle publish', 'publish', 'send']);
    assert.deepEqual(named(spans, 'handle publish')[0].parentSpanId, event.spanId);
    const [join] = await traceOf(receiver, session.traceId, 1);
    assert.deepEqual([join.name, join.parentSpanId], ['handle join', session.spanId]);
    // A later event has been told of: the one in between is not on its way any more.
    await client.call('join', 'another');
    await traceOf(receiver, session.traceId, 2);
    assert.deepEqual((await receiver.spans()).filter(({ traceId }) => traceId === quiet.traceId), []);
    // Lines of the log of what happened in it say so.
    const lines = () => node.output().split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
    const line = await until('the line of the event', () => lines().find((line) => line.event_type === 'message_received' && line.trace_id === event.traceId));
    assert.equal(line.span_id, named(spans, 'handle publish')[0].spanId);
    const established = lines().find(({ event_type: type }) => type === 'connection_established');
    assert.equal(established.trace_id, session.traceId);
  });

  test('that nobody handles, and many at once, fill no receiver', async (t) => {
    const receiver = await otlpReceiver(t);
    const node = await nodeFor(t, receiver.url, { WEBSOCKET_OTEL_TRACES_PER_SECOND: '5' });
    const client = await connect('client', node.url);
    client.socket.emit('a name that the client made up', 1);
    for (let number = 0; number < 200; number += 1) await client.ask('echo', number);
    await until('the rest is counted', async () => (await metric(node, 'vedfolnir_traces_limited_total')) > 0);
    const limited = await metric(node, 'vedfolnir_traces_limited_total');
    const told = 200 - limited;
    const spans = await until('what is told came', async () => {
      const spans = await receiver.spans();
      return spans.length >= told && spans;
    });
    assert.equal(spans.length, told);
    assert.ok(spans.every(({ name }) => name === 'handle echo'), JSON.stringify(spans.map(({ name }) => name)));
    assert.equal(await metric(node, 'vedfolnir_trace_spans_total{result="exported"}'), told);
  });
});

describe('a receiver', () => {
  test('that is busy gets the same spans again, once it says; what it throws away is counted', async (t) => {
    // opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse { partial_success { rejected_spans: 1, error_message: "full" } }
    const partial = Buffer.from([0x0a, 0x08, 0x08, 0x01, 0x12, 0x04, ...Buffer.from('full')]);
    const answers = [[503, { 'retry-after': '0' }], [429], [200], [200, {}, partial], [400]];
    const receiver = await otlpReceiver(t, (requests) => answers[requests.length - 1] ?? [200]);
    const node = await nodeFor(t, receiver.url, { OTEL_EXPORTER_OTLP_COMPRESSION: 'none' });
    const client = await connect('client', node.url);
    const exported = () => metric(node, 'vedfolnir_trace_spans_total{result="exported"}');
    const refused = () => metric(node, 'vedfolnir_trace_spans_total{result="refused"}');
    await client.ask('echo', 1);
    await until('it was taken in the end', async () => (await exported()) === 1);
    assert.equal(receiver.requests.length, 3);
    assert.equal(await metric(node, 'vedfolnir_trace_export_failures_total'), 2);
    assert.equal(receiver.requests[0].headers['content-encoding'], undefined);
    await client.ask('echo', 2);
    await until('one was thrown away', async () => (await refused()) === 1);
    await client.ask('echo', 3);
    await until('one was refused for good', async () => (await refused()) === 2);
    assert.equal(receiver.requests.length, 5, 'what is refused is not sent again');
    await client.ask('echo', 4);
    await until('and it goes on', async () => (await exported()) === 2);
    const complaints = node.output().split('\n').filter((line) => /does not take them/.test(line));
    assert.equal(complaints.length, 1, node.output());
  });

  test('that is gone or silent is waited for by nobody', async (t) => {
    const receiver = await otlpReceiver(t, () => null);
    const node = await nodeFor(t, receiver.url, { OTEL_EXPORTER_OTLP_TIMEOUT: '200' });
    const client = await connect('client', node.url);
    for (let number = 0; number < 50; number += 1) await client.ask('echo', number);
    await until('attempts fail', async () => (await metric(node, 'vedfolnir_trace_export_failures_total')) >= 2);
    receiver.close();
    await client.ask('echo', 'still here');
    assert.equal((await node.health()).status, 200);
    assert.deepEqual(await node.kill('SIGTERM'), { code: 0, signal: null }, node.tail());
  });
});

describe('traces', () => {
  test('are off by default, and with one word', async (t) => {
    const receiver = await otlpReceiver(t);
    const node = await nodeFor(t, receiver.url, { OTEL_SDK_DISABLED: 'true' });
    const client = await connect('client', node.url, { auth: { traceparent: place().traceparent } });
    await client.ask('echo', 1);
    assert.equal(await metric(node, 'vedfolnir_trace_spans_total{result="exported"}'), 0);
    // What is left would be sent at the end.
    await node.kill('SIGTERM');
    assert.equal(receiver.requests.length, 0);
  });

  test('are refused by name when they are set to what is not there', async () => {
    const cases = [
      [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'grpc://collector:4317' }, /WEBSOCKET_OTEL_EXPORTER_OTLP_ENDPOINT/],
      [{ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, /OTEL_EXPORTER_OTLP_PROTOCOL.*http\/protobuf/s],
      [{ OTEL_EXPORTER_OTLP_HEADERS: `good=1,bad name=${SECRET}`, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, /item 2 of the list: no header has such a name/],
      [{ OTEL_EXPORTER_OTLP_HEADERS: `${SECRET}`, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }, /item 1 of the list is no KEY=VALUE/],
      [{ OTEL_TRACES_SAMPLER: 'jaeger_remote' }, /OTEL_TRACES_SAMPLER.*parentbased_always_on/s],
      [{ OTEL_TRACES_SAMPLER_ARG: '1.5' }, /OTEL_TRACES_SAMPLER_ARG.*out of range/s],
      [{ OTEL_EXPORTER_OTLP_TIMEOUT: '5' }, /OTEL_EXPORTER_OTLP_TIMEOUT.*out of range/s],
      [{ OTEL_EXPORTER_OTLP_CERTIFICATE: '/nowhere.pem', OTEL_EXPORTER_OTLP_ENDPOINT: 'https://127.0.0.1:4318' }, /OTEL_EXPORTER_OTLP_CERTIFICATE/],
    ];
    for (const [env, expected] of cases) {
      const { code, stdout, stderr } = await run(['config', 'check'], { env });
      assert.notEqual(code, 0, `${JSON.stringify(env)}\n${stdout}`);
      assert.match(stdout + stderr, expected);
      assert.doesNotMatch(stdout + stderr, new RegExp(SECRET));
    }
  });
});
