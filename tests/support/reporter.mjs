// The test runner's reporter: one line a test, failures in full, and `N passed, N failed` as the last line.

import { inspect } from 'node:util';

export default async function* reporter(source) {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  const failures = [];
  const files = new Set();
  for await (const { type, data } of source) {
    if (type === 'test:diagnostic' && data.nesting > 0) yield `      ${data.message}\n`;
    if (type === 'test:stdout' || type === 'test:stderr') yield data.message;
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details?.type === 'suite') {
      // A suite counts by its tests; it is a failure of its own only when a hook or the file itself failed.
      if (type === 'test:pass' || data.details.error?.failureType === 'subtestsFailed') continue;
    }
    if (data.file && !files.has(data.file)) {
      files.add(data.file);
      yield `\n${data.file.split('/').pop()}\n`;
    }
    const seconds = ((data.details?.duration_ms ?? 0) / 1000).toFixed(1);
    if (data.skip !== undefined || data.todo !== undefined) {
      skipped += 1;
      if (data.skip !== 'test name does not match pattern') yield `  skip  ${data.name}  ${data.skip || data.todo || ''}\n`;
    } else if (type === 'test:pass') {
      passed += 1;
      yield `  ok    ${data.name}  (${seconds} s)\n`;
    } else {
      failed += 1;
      yield `  FAIL  ${data.name}  (${seconds} s)\n`;
      failures.push(data);
    }
  }
  const shown = new Set();
  for (const { name, file, line, details } of failures) {
    const error = details.error?.cause ?? details.error;
    yield `\nFAILED: ${name}\n  ${file ?? ''}:${line ?? ''}\n`;
    // A failed hook fails every test of its file, with one and the same error.
    if (shown.has(error?.message)) {
      yield '  for the reason above\n';
      continue;
    }
    shown.add(error?.message);
    yield `${inspect(error, { depth: 6, maxArrayLength: 40, maxStringLength: 4000 }).replace(/^/gm, '  ')}\n`;
  }
  yield `\n${skipped ? `(${skipped} skipped)\n` : ''}${passed} passed, ${failed} failed\n`;
}
