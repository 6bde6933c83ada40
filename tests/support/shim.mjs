// Libraries that stand between a node and the C library (LD_PRELOAD), compiled from the C files of this directory.

import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { temporaryDirectory } from './cluster.mjs';

/** The path of the library compiled from `NAME.c`. */
export function compileShim(name) {
  const library = path.join(temporaryDirectory(), `${name}.so`);
  execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, fileURLToPath(new URL(`${name}.c`, import.meta.url)), '-ldl']);
  return library;
}
