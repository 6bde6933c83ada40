// A file system that holds little, in a mount namespace of its own: root is not needed where the kernel allows it.

import { execFile, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { promisify } from 'node:util';

import { within } from './wait.mjs';

const MOUNT = 'mount -t tmpfs -o "size=$1" none "$0" && echo mounted && exec cat';

/** Mounted at `directory` for whoever starts through `prefix`; it goes with this process. */
export class SmallDisk {
  #holder;

  /** `size` as mount understands it, such as `48m`. `null`: this system lets no test mount anything. */
  static async make(directory, size) {
    mkdirSync(directory, { recursive: true });
    const disk = new SmallDisk();
    disk.directory = directory;
    const holder = spawn('unshare', ['--user', '--map-root-user', '--mount', 'sh', '-ec', MOUNT, directory, size], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    disk.#holder = holder;
    const mounted = new Promise((resolve) => {
      holder.once('error', () => resolve(false));
      holder.once('exit', () => resolve(false));
      holder.stdout.once('data', () => resolve(true));
    });
    return (await within('the mount of a small file system', mounted, 10_000)) ? disk : null;
  }

  /** The beginning of a command line that sees the file system; the program keeps the pid that was spawned. */
  get prefix() {
    return ['nsenter', '--target', String(this.#holder.pid), '--user', '--mount', '--preserve-credentials'];
  }

  /** Runs a shell command that sees the file system, in its directory. */
  async run(script) {
    const [program, ...args] = [...this.prefix, 'sh', '-ec', `cd "$0"; ${script}`, this.directory];
    return promisify(execFile)(program, args);
  }

  resize(size) {
    return this.run(`mount -o remount,size=${size} .`);
  }

  close() {
    this.#holder.stdin.end();
  }
}
