import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { errorEnvelope } from './error-envelope.ts';
import { RequestError, requestError, requestErrors } from './request-error.ts';

test("an error becomes DeepSeek's envelope, word for word where its words are known", () => {
  const error = requestError('unknown-model', { supported: ['a', 'b'], passed: 'c' });
  assert.ok(error instanceof RequestError);
  assert.equal(error.status, 400);
  assert.deepEqual(errorEnvelope(error, 'deepseek'), {
    error: {
      message: 'The supported API model names are a, b, but you passed c.',
      type: 'invalid_request_error',
      param: null,
      code: 'invalid_request_error',
    },
  });
  assert.equal(
    requestError('context-exceeded', { limit: 100, requested: 110, prompt: 90, completion: 20 }).message,
    "This model's maximum context length is 100 tokens. However, you requested 110 tokens (90 in the messages, 20 in " +
      'the completion). Please reduce the length of the messages or completion.',
  );
});

test("OpenAI's envelope blames a field, DeepSeek's leaves that to the text, Anthropic's has a type for the status", () => {
  const error = requestError('unknown-object', { field: 'previous_response_id', kind: 'Response', id: '{id}' });
  const { param, ...words } = errorEnvelope(error, 'openai').error;
  assert.equal(param, 'previous_response_id');
  assert.deepEqual(errorEnvelope(error, 'deepseek').error, { ...words, param: null });
  assert.equal(words.message, "Response with id '{id}' not found.");
  assert.deepEqual(errorEnvelope(error, 'anthropic'), {
    type: 'error',
    error: { type: 'not_found_error', message: words.message },
  });
});

test('every row is an HTTP error, and only failures of the server are 5xx', () => {
  for (const [code, row] of Object.entries(requestErrors)) {
    assert.ok(row.status >= 400 && row.status < 600, code);
    assert.equal(row.status >= 500, row.type === 'server_error', code);
  }
});

test('no module of this package needs more than a browser has', () => {
  const folder = new URL('.', import.meta.url);
  const modules = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.ts') && !name.endsWith('.test.ts'),
  );
  assert.ok(modules.length > 0);
  for (const name of modules) {
    const source = readFileSync(new URL(name, folder), 'utf8');
    for (const [, specifier = ''] of source.matchAll(/\bfrom '([^']+)'/g))
      assert.match(specifier, /^(\.\.?\/.*|zod)$/, name);
    assert.doesNotMatch(source, /\b(Buffer|process|require)\b[.(]/, name);
  }
});
