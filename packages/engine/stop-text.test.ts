import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { StopText } from './stop-text.ts';

test('the text up to the first stop string comes out, however it was split', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 12 });
  const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 2, maxLength: 4 }), { maxLength: 2 });
  fc.assert(
    fc.property(fc.array(letters), stops, (pieces, stop) => {
      const whole = pieces.join('');
      const found = stop.map((each) => whole.indexOf(each)).filter((at) => at >= 0);
      // Of two stop strings the one that is complete first wins, wherever the other begins.
      const ends = stop.filter((each) => whole.includes(each)).map((each) => whole.indexOf(each) + each.length);
      const firstEnd = Math.min(...ends);
      const begin = Math.min(
        ...found.filter((at) => stop.some((s) => whole.startsWith(s, at) && at + s.length <= firstEnd)),
      );
      const matcher = new StopText(stop);
      let shown = '';
      let met: string | undefined;
      for (const character of whole) {
        const result = matcher.push(character);
        shown += result.text;
        met = result.stop;
        if (met !== undefined) break;
      }
      if (met === undefined) shown += matcher.end();
      assert.equal(met !== undefined, found.length > 0);
      assert.equal(shown, found.length > 0 ? whole.slice(0, begin) : whole);
    }),
  );
});

test('text that may begin a stop string is held back, all other text is not', () => {
  const matcher = new StopText(['END']);
  assert.deepEqual(matcher.push('the E'), { text: 'the ', stop: undefined });
  assert.deepEqual(matcher.push('N'), { text: '', stop: undefined });
  assert.deepEqual(matcher.push('d'), { text: 'ENd', stop: undefined });
  assert.deepEqual(matcher.push('EN'), { text: '', stop: undefined });
  assert.equal(matcher.end(), 'EN');
});
