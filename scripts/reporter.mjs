// Prints test results one line per file, failures in full, and the totals last.
//
// Knows only the events of `node --test`. A green run of the whole repository fits on a screen or two; a red file shows
// its failures and what it printed, without a wall of passing titles around them.

import { relative } from 'node:path';
import process from 'node:process';
import { inspect, styleText } from 'node:util';

/**
 * @typedef {{ passed: number, failed: number, skipped: number, failures: string, printed: string, path: string[] }} FileResult
 * @param {AsyncIterable<import('node:test/reporters').TestEvent>} events
 */
export async function* reporter(events) {
  /** @type {Map<string, FileResult>} */
  const results = new Map();
  for await (const { type, data } of events) {
    const file = fileOf(data);
    const result = results.get(file) ?? { passed: 0, failed: 0, skipped: 0, failures: '', printed: '', path: [] };
    if (file !== '') results.set(file, result);
    switch (type) {
      case 'test:stdout':
      case 'test:stderr':
        result.printed += data.message;
        break;
      case 'test:start':
        result.path.length = data.nesting;
        result.path.push(data.name);
        break;
      case 'test:pass':
        if (data.details.type === 'suite') break;
        if (data.skip) result.skipped += 1;
        else result.passed += 1;
        break;
      case 'test:fail':
        // A parent fails because of its children, which have been told already.
        if (failureType(data) === 'subtestsFailed') break;
        result.failed += 1;
        // A file that cannot be loaded has no tests of its own: the failure is what it printed.
        if (isWholeFile(data)) yield report(file, result, data.details.duration_ms);
        else result.failures += failure(result.path, data);
        break;
      case 'test:summary':
        if (file !== '') yield report(file, result, data.duration_ms);
        break;
    }
  }
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for (const result of results.values()) {
    passed += result.passed;
    failed += result.failed;
    skipped += result.skipped;
  }
  yield `\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`;
}

// biome-ignore lint/style/noDefaultExport: `node --test-reporter` takes the default export.
export default reporter;

/** The test file an event belongs to; a helper that declares tests for it does not count as one. */
function fileOf(/** @type {any} */ data) {
  return /** @type {string} */ (data.entryFile ?? data.file ?? '');
}

function isWholeFile(/** @type {any} */ data) {
  return data.entryFile === undefined;
}

function failureType(/** @type {any} */ data) {
  return data.details.error?.failureType;
}

function report(/** @type {string} */ file, /** @type {FileResult} */ result, /** @type {number} */ durationMs) {
  const { passed, failed, skipped } = result;
  const mark = failed > 0 ? styleText('red', 'FAIL') : styleText('green', 'ok  ');
  const skips = skipped > 0 ? styleText('yellow', ` ${skipped} skipped`) : '';
  const seconds = styleText('dim', `${(durationMs / 1000).toFixed(1).padStart(6)} s`);
  const line = `${mark} ${relative(process.cwd(), file).padEnd(56)}${String(passed + failed).padStart(5)} tests${seconds}${skips}\n`;
  return failed > 0 ? line + result.failures + indent(result.printed) : line;
}

function failure(/** @type {string[]} */ path, /** @type {any} */ data) {
  const error = data.details.error?.cause ?? data.details.error;
  const text = error instanceof Error ? (error.stack ?? error.message) : inspect(error);
  // Frames inside Node tell nothing about the failure.
  const frames = text.split('\n').filter((line) => !/^\s+at .*node:internal/.test(line));
  const where = `${relative(process.cwd(), data.file)}:${data.line}`;
  return `\n  ${styleText('red', path.join(' > '))} ${styleText('dim', `(${where})`)}\n${indent(frames.join('\n'))}\n`;
}

function indent(/** @type {string} */ text) {
  return text.replaceAll(/^(?=.)/gm, '    ');
}
