// An S3-compatible object store in a process of its own: moto's, from PyPI.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { atEnd } from './cleanup.mjs';
import { until } from './wait.mjs';

export class ObjectStore {
  static async start() {
    const env = { ...process.env, PYTHONPATH: process.env.VEDFOLNIR_S3_PYTHONPATH, PYTHONDONTWRITEBYTECODE: '1', PYTHONUNBUFFERED: '1' };
    const child = spawn('python3', ['-m', 'moto.server', '-H', '127.0.0.1', '-p', '0'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
    atEnd(async () => {
      if (child.exitCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    });
    const [, url] = await until(() => `the object store listens: ${output}`, () => /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(output));
    return new ObjectStore(url, child);
  }

  constructor(url, child) {
    this.url = url;
    this.child = child;
  }

  /** What a node needs to be told besides the location. */
  get env() {
    return {
      WEBSOCKET_BACKUP_S3_ENDPOINT: this.url,
      WEBSOCKET_BACKUP_S3_ACCESS_KEY: 'an-access-key',
      WEBSOCKET_BACKUP_S3_SECRET_KEY: 'planted-secret-of-the-store',
    };
  }

  async #ask(path, init) {
    // moto wants to be asked by somebody, and does not look at the signature.
    const authorization = 'AWS4-HMAC-SHA256 Credential=test/20250101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0';
    const answer = await fetch(`${this.url}/${path}`, { ...init, headers: { authorization } });
    if (!answer.ok) throw new Error(`${init?.method ?? 'GET'} ${path}: ${answer.status} ${await answer.text()}`);
    return Buffer.from(await answer.arrayBuffer());
  }

  createBucket(bucket) {
    return this.#ask(bucket, { method: 'PUT' });
  }

  put(bucket, key, body) {
    return this.#ask(`${bucket}/${key}`, { method: 'PUT', body });
  }

  get(bucket, key) {
    return this.#ask(`${bucket}/${key}`);
  }

  async keys(bucket) {
    const page = await this.#ask(`${bucket}?list-type=2`);
    return [...page.toString().matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => key).sort();
  }

  /** Uploads that were begun and neither ended nor given up. */
  async uploads(bucket) {
    return [...(await this.#ask(`${bucket}?uploads`)).toString().matchAll(/<UploadId>/g)].length;
  }
}
