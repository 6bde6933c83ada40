// A receiver of traces (OTLP over HTTP) that answers as it is told; what came is read by OpenTelemetry's own definitions.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';

import { temporaryDirectory } from './cluster.mjs';

const DECODE = path.join(import.meta.dirname, 'otlp_decode.py');

/** `answer(requests)`: [status, headers, body]; null: none ever. Ends with the test. */
export async function otlpReceiver(t, answer = () => [200]) {
  const directory = temporaryDirectory();
  const requests = [];
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const raw = Buffer.concat(chunks);
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw;
    const file = path.join(directory, `${requests.length}.bin`);
    writeFileSync(file, body);
    const came = { method: request.method, path: request.url, headers: request.headers, file, taken: false };
    requests.push(came);
    const answered = answer(requests);
    if (!answered) return;
    const [status, headers = {}, content = ''] = answered;
    came.taken = status < 300;
    response.writeHead(status, { 'content-type': 'application/x-protobuf', ...headers }).end(content);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  t.after(close);
  return {
    requests,
    close,
    url: `http://127.0.0.1:${server.address().port}`,
    /** The spans of all requests that were taken. */
    async spans() {
      const files = requests.filter(({ taken }) => taken).map(({ file }) => file);
      if (files.length === 0) return [];
      const env = { ...process.env, PYTHONPATH: process.env.VEDFOLNIR_PYTHONPATH, PYTHONDONTWRITEBYTECODE: '1' };
      const { stdout } = await promisify(execFile)('python3', [DECODE, ...files], { env, maxBuffer: 64 << 20 });
      return stdout.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));
    },
  };
}
