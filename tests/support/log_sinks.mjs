// Where a node's lines go, as tests read them: files, a receiver over HTTP, and what every line must look like.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { gunzipSync } from 'node:zlib';

import { run } from './cluster.mjs';
import { openSocket } from './doors.mjs';
import { until } from './wait.mjs';

const DOCS = new URL('../../docs/logs.md', import.meta.url);

/** The lines of a file; one without its line feed is not there yet. */
export function linesOf(file) {
  if (!existsSync(file)) return [];
  const text = readFileSync(file, 'utf8');
  return text.slice(0, text.lastIndexOf('\n') + 1).split('\n').slice(0, -1);
}

export const recordsOf = (file) => linesOf(file).map((line) => JSON.parse(line));

export const ofType = (records, type) => records.filter(({ event_type: own }) => own === type);

/** Waits for records of a file that match; resolves with all of those. */
export async function awaitRecords(file, what, matches, count = 1) {
  await until(
    () => `${what} is in ${file}; its end: ${linesOf(file).slice(-5).join('\n')}`,
    () => recordsOf(file).filter(matches).length >= count,
  );
  return recordsOf(file).filter(matches);
}

/** Waits for the end of a session's connection. */
export async function awaitEnd(file, session) {
  await awaitRecords(file, `the end of session ${session}`, ({ event_type: type, connection_id: connection }, _, all) =>
    type === 'connection_closed' && all.some((other) => other.session_id === session && other.connection_id === connection));
}

/** The top-level fields that docs/logs.md lists: [name, whether each line has it]. */
export function documentedFields() {
  const rows = [...readFileSync(DOCS, 'utf8').matchAll(/^\| `(\w+)` \| (always|where it is known) \|/gm)];
  assert.ok(rows.length > 10, 'docs/logs.md has no table of fields');
  return rows.map(([, name, when]) => [name, when === 'always']);
}

export async function catalogue() {
  const { code, stdout, stderr } = await run(['config', 'events', '--json']);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

const text = (bytes) => (value) => typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= bytes;
const oneOf = (...values) => (value) => values.includes(value);
const form = (pattern) => (value) => typeof value === 'string' && pattern.test(value);
const SHAPES = {
  timestamp: form(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  level: oneOf('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'),
  category: oneOf('connection', 'message', 'security', 'performance', 'error', 'system'),
  message: text(8192),
  session_id: text(256),
  user_id: (value) => (Number.isInteger(value) && value !== 0) || text(256)(value),
  connection_id: text(256),
  namespace: text(256),
  client_ip: form(/^[0-9a-f.:]+(\/24|\/48)?$/),
  user_agent: (value) => typeof value === 'string' && Buffer.byteLength(value) <= 512,
  duration_ms: (value) => typeof value === 'number' && value >= 0 && Math.abs(value * 10 - Math.round(value * 10)) < 1e-4,
  error_code: text(64),
  server_id: text(256),
  node: text(256),
  trace_id: form(/^[0-9a-f]{32}$/),
  span_id: form(/^[0-9a-f]{16}$/),
  seq: (value) => Number.isInteger(value) && value >= 1,
  metadata: (value) =>
    value !== null && typeof value === 'object' && !Array.isArray(value) &&
    Object.values(value).every((inner) => ['string', 'number', 'boolean'].includes(typeof inner)),
};

/** Every record against the documented schema: required fields, no others, each of its form, a known event. */
export function assertSchema(records, types) {
  assert.ok(records.length > 0, 'there is no record');
  const fields = documentedFields();
  const known = new Set(fields.map(([name]) => name));
  for (const record of records) {
    const shown = JSON.stringify(record);
    for (const [name, always] of fields) if (always) assert.ok(name in record, `${name} is missing: ${shown}`);
    for (const [name, value] of Object.entries(record)) {
      assert.ok(known.has(name), `${name} is not documented: ${shown}`);
      if (name === 'event_type') assert.ok(types.has(value), `${value} is not in the catalogue`);
      else assert.ok(SHAPES[name](value), `${name} has the wrong form: ${shown}`);
    }
  }
}

/** Numbers of records, each exactly once and without a gap, whatever order the files are read in. */
export function assertContiguous(records, first) {
  const seqs = records.map(({ seq }) => seq).filter((seq) => seq !== undefined).sort((a, b) => a - b);
  assert.ok(seqs.length > 0);
  if (first !== undefined) assert.equal(seqs[0], first);
  seqs.forEach((seq, index) => assert.equal(seq, seqs[0] + index, `after ${seqs[index - 1]} comes ${seq}`));
}

/** Opens and ends that many sessions, one after the other; resolves with their ids. */
export async function sessions(url, count, options = {}) {
  const ids = [];
  for (let index = 0; index < count; index += 1) {
    const socket = await openSocket(url, options);
    ids.push(socket.session.sid);
    const closed = once(socket.ws, 'close');
    socket.send('41');
    socket.ws.close();
    await closed;
  }
  return ids;
}

/** Characters that would forge a line, command a terminal, or turn its text around. */
export const HOSTILE = '\r\n{"timestamp":"forged"}\r\nlevel=CRITICAL \u001b[2J\u009b31m\u2028\u202e\u0000';
export const HOSTILE_CHARACTERS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/;

/** A receiver of lines over HTTP; `answer(request)` is { status, headers }, or null for none at all. */
export class HttpSink {
  requests = [];
  answer = () => ({ status: 204 });
  #sockets = new Set();

  static async start() {
    const sink = new HttpSink();
    sink.server = http.createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const raw = Buffer.concat(chunks);
      const body = (request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw).toString();
      const seen = { method: request.method, url: request.url, headers: request.headers, raw, body, at: performance.now() };
      const answer = sink.answer(seen);
      sink.requests.push({ ...seen, status: answer?.status ?? null });
      if (answer) response.writeHead(answer.status, answer.headers).end();
    });
    sink.server.on('connection', (socket) => {
      sink.#sockets.add(socket);
      socket.on('close', () => sink.#sockets.delete(socket)).on('error', () => {});
    });
    sink.server.listen(0, '127.0.0.1');
    await once(sink.server, 'listening');
    sink.url = `http://127.0.0.1:${sink.server.address().port}/api/ingest`;
    return sink;
  }

  /** What was taken, in order. */
  get records() {
    return this.requests
      .filter(({ status }) => status >= 200 && status < 300)
      .flatMap(({ body }) => body.split('\n').slice(0, -1).map((line) => JSON.parse(line)));
  }

  stop() {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
