import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CustomToolInput, customToolArguments, customToolInput } from './custom-tool-input.ts';

test('however arguments are divided, the parts of the input add up to it', () => {
  const cut = fc.array(fc.nat(12), { maxLength: 12 });
  const arbitrary = fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[\n\t"\\u0-9a]*$/));
  fc.assert(
    fc.property(arbitrary, cut, fc.boolean(), (input, lengths, isEscaped) => {
      const escaped = (text: string) => `\\u${text.charCodeAt(0).toString(16).padStart(4, '0')}`;
      const plain = customToolArguments(input);
      const json = isEscaped ? plain.replace(/[^ -~]/g, escaped) : plain;
      const reader = new CustomToolInput();
      let [at, read] = [0, ''];
      for (const length of [...lengths, json.length]) {
        const part = reader.push(json.slice(at, at + length));
        assert.ok(part.isWellFormed() || !isEscaped, 'no half of a character');
        read += part;
        at += length;
      }
      assert.equal(read, input);
      assert.equal(customToolInput(json), input);
    }),
  );
});

test('what a model wrote otherwise is not lost', () => {
  assert.equal(customToolInput('{"input": "cut o'), 'cut o');
  assert.equal(customToolInput('{"input": "two\nlines"}'), 'two\nlines');
  assert.equal(customToolInput('{"patch": "a"}'), '{"patch": "a"}');
  assert.equal(customToolInput('*** Begin Patch'), '*** Begin Patch');
});
