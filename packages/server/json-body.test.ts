import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseJsonBody } from './json-body.ts';

test('JSON is parsed as JSON.parse does, whatever stands in its strings', () => {
  const value = fc.jsonValue({ maxDepth: 8 });
  fc.assert(
    fc.property(value, (expected) =>
      assert.deepEqual(parseJsonBody(JSON.stringify(expected)), JSON.parse(JSON.stringify(expected))),
    ),
  );
  assert.deepEqual(parseJsonBody(`["${'['.repeat(500)}", "\\"${'{'.repeat(500)}"]`), [
    '['.repeat(500),
    `"${'{'.repeat(500)}`,
  ]);
});

test('what is not JSON is refused with its place', () => {
  assert.throws(() => parseJsonBody('{"a": 1,}'), /position 8/);
  assert.throws(() => parseJsonBody('  '), /the body is empty/);
  assert.throws(() => parseJsonBody(Buffer.from('"\xe9"', 'latin1')), /it is no UTF-8/);
  assert.equal(parseJsonBody(Buffer.from('"é"')), 'é');
});

test('nesting is bounded, at 128 levels', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  assert.ok(parseJsonBody(nested(128)));
  assert.throws(() => parseJsonBody(nested(129)), /nested deeper than 128 levels at position 128/);
});
