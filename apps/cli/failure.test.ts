import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requestError } from '@hadal/protocol/request-error';
import { reportFailure, UsageError } from './failure.ts';

function report(error: unknown, withTrace = false): { code: number; text: string } {
  let text = '';
  const code = reportFailure(
    error,
    (piece) => {
      text += piece;
    },
    { withTrace },
  );
  return { code, text };
}

test('a mistake is one line without a trace', () => {
  const error = new Error('wq: expected [8, 4] from config, file has [8, 5]');
  assert.deepEqual(report(error), { code: 1, text: `hadal: ${error.message}\n` });
  const refusal = requestError('invalid-field', { field: 'messages', problem: 'expected at least one' });
  assert.deepEqual(report(refusal), { code: 1, text: 'hadal: messages: expected at least one\n' });
});

test('a command called the wrong way has an exit code of its own', () => {
  assert.deepEqual(report(new UsageError('nothing to ask')), { code: 2, text: 'hadal: nothing to ask\n' });
});

test('a bug is told with its trace and its cause', () => {
  const { code, text } = report(new TypeError('x is not a function', { cause: new Error('because') }));
  assert.equal(code, 1);
  assert.match(text, /this is a bug.*\nTypeError: x is not a function\n\s+at /);
  assert.match(text, /caused by Error: because/);
});

test('a trace can be asked for', () => {
  assert.match(report(new Error('no such file'), true).text, /Error: no such file\n\s+at /);
});
