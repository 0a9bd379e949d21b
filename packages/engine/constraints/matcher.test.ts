import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import { uniforms } from '@hadal/kernels/parity';
import { type ConstraintSpec, compileConstraint } from './constraint.ts';
import { ConstraintCache } from './constraint-cache.ts';
import { allowedTokens, compiled, type Language, languageOf, nanoLanguage, walk } from './testing/random-walk.ts';
import { TokenMasks } from './token-masks.ts';

const nano = nanoLanguage();

const specs: readonly ConstraintSpec[] = [
  { type: 'json-object' },
  { type: 'regex', pattern: '(?:[a-z]{2,5} ?){1,3}é*' },
  { type: 'choice', options: ['yes', 'yes, it is', 'no', 'nö'] },
  schema({ type: 'string', minLength: 2, maxLength: 30 }),
  schema({
    type: 'array',
    items: { anyOf: [{ type: 'number' }, { type: 'string', pattern: '^[^,]*$' }, { type: 'array' }] },
  }),
  schema({
    type: 'object',
    properties: { name: { type: 'string' }, n: { type: 'integer', minimum: 7, maximum: 133 } },
    additionalProperties: true,
  }),
  { type: 'after-reasoning', answer: { type: 'choice', options: ['a', 'b'] } },
];

function schema(of: unknown): ConstraintSpec {
  return { type: 'json-schema', schema: of, isStrict: false };
}

test('a mask holds exactly the tokens that would be accepted', () => {
  const next = uniforms(11);
  for (const spec of specs) {
    const constraint = compiled(spec, nano);
    for (let i = 0; i < 4; i++) {
      const { tokens } = walk(constraint, nano, next, 25, 12);
      const matcher = constraint.matcher();
      const mask = new Uint32Array(nano.vocabulary.maskLength);
      for (const token of tokens) {
        matcher.mask(mask);
        const accepted: number[] = [];
        for (let id = 0; id < nano.vocabulary.size; id++) {
          if (!matcher.accept(id)) continue;
          accepted.push(id);
          matcher.rollback(1);
        }
        assert.deepEqual(allowedTokens(mask), accepted, JSON.stringify(spec));
        assert.ok(matcher.accept(token));
      }
    }
  }
});

test('what was taken back leaves no trace', () => {
  const next = uniforms(12);
  for (const spec of specs) {
    const constraint = compiled(spec, nano);
    const { tokens } = walk(constraint, nano, next, 40, 20);
    const matcher = constraint.matcher();
    const [before, after] = [new Uint32Array(nano.vocabulary.maskLength), new Uint32Array(nano.vocabulary.maskLength)];
    for (const [i, token] of tokens.entries()) {
      matcher.mask(before);
      const forced = matcher.forced();
      // A draft of the next tokens, of which the last is wrong.
      const drafted = tokens.slice(i, i + 3).filter((draft) => matcher.accept(draft));
      assert.equal(matcher.accept(nano.vocabulary.size + 5), false);
      matcher.rollback(drafted.length);
      matcher.mask(after);
      assert.deepEqual(after, before);
      assert.deepEqual(matcher.forced(), forced);
      assert.ok(matcher.accept(token));
    }
    assert.throws(() => matcher.rollback(tokens.length + 1), /rollback: expected 0 to/);
  }
});

test('memory that is too small for the masks changes none of them', () => {
  const small: Language = { ...nano, masks: new TokenMasks(nano.vocabulary, { cacheBytes: 2000 }) };
  for (const spec of specs) {
    const [tight, roomy] = [compiled(spec, small), compiled(spec, nano)];
    for (let seed = 0; seed < 5; seed++) {
      assert.deepEqual(walk(tight, small, uniforms(seed), 60), walk(roomy, nano, uniforms(seed), 60));
    }
  }
});

test('text with one continuation is forced in natural tokens, and ends with the stop token', () => {
  const constraint = compiled(schema({ const: { colour: 'blue', size: 12 } }), nano);
  const text = '{"colour": "blue", "size": 12}';
  assert.deepEqual(constraint.matcher().forced(), [...nano.tokenizer.encode(text), nano.stop]);
});

test('forcing leaves to the model every token that reaches beyond the forced text', () => {
  const constraint = compiled(
    schema({ type: 'object', properties: { name: { type: 'string' } }, required: ['name'] }),
    nano,
  );
  const forced = constraint.matcher().forced();
  const text = nano.tokenizer.decode(forced);
  const whole = '{"name": "';
  assert.ok(whole.startsWith(text) && text.length > 0);
  // Nothing that begins inside of the forced text may go on past its end.
  for (let id = 0; id < nano.vocabulary.size; id++) {
    const token = nano.tokenizer.addedIds.has(id) ? '' : nano.tokenizer.decode([id]);
    for (let i = 1; i < whole.length; i++) {
      const isReaching = token.length > whole.length - i && token.startsWith(whole.slice(i));
      // Past the quote comes a character of the string, or the end of it.
      if (isReaching && !/[\n"\\\ufffd]/.test(token.slice(whole.length - i)))
        assert.ok(text.length <= i, JSON.stringify(token));
    }
  }
});

test('forced tokens are those that sampling under the mask takes', () => {
  const constraint = compiled(
    schema({
      type: 'object',
      properties: { first: { enum: ['alpha', 'beta'] }, second: { const: 'a long constant' } },
      required: ['first', 'second'],
    }),
    nano,
  );
  for (let seed = 0; seed < 10; seed++) {
    const { tokens } = walk(constraint, nano, uniforms(seed));
    // The same walk with jumps: a forward pass only where nothing is forced.
    const matcher = constraint.matcher();
    const jumped: number[] = [];
    while (jumped.length < tokens.length) {
      const forced = matcher.forced().filter((token) => token !== nano.stop);
      const taken = forced.length > 0 ? forced : [tokens[jumped.length]!];
      for (const token of taken) assert.ok(matcher.accept(token));
      jumped.push(...taken);
    }
    assert.deepEqual(jumped, tokens);
  }
});

test('stop tokens are allowed at the end and nowhere else', () => {
  const matcher = compiled({ type: 'choice', options: ['no', 'now'] }, nano).matcher();
  assert.ok(!matcher.canEnd && !matcher.accept(nano.stop));
  for (const token of nano.tokenizer.encode('no')) assert.ok(matcher.accept(token));
  assert.ok(matcher.canEnd && !matcher.isOver);
  assert.ok(matcher.accept(nano.stop) && matcher.isOver);
  assert.ok(!matcher.accept(nano.stop));
  matcher.rollback(1);
  assert.ok(!matcher.isOver && matcher.accept(nano.tokenizer.encode('w')[0]!));
});

test('special tokens stand for themselves: their text is no way to them, and they are none to their text', () => {
  const end = nano.tokenizer.tokenId('</think>')!;
  const matcher = compiled({ type: 'after-reasoning', answer: { type: 'choice', options: ['x'] } }, nano).matcher();
  for (const token of nano.tokenizer.encode('Well, <b>')) assert.ok(matcher.accept(token));
  assert.ok(!matcher.accept(nano.tokenizer.tokenId('<think>')!));
  assert.ok(!matcher.accept(nano.stop));
  assert.ok(matcher.accept(end));
  assert.deepEqual(matcher.forced(), [...nano.tokenizer.encode('x'), nano.stop]);
  const text = compiled(schema({ type: 'string' }), nano).matcher();
  for (const token of nano.tokenizer.encode('"a')) assert.ok(text.accept(token));
  assert.ok(!text.accept(end));
});

test('a character spread over tokens is finished before anything else', () => {
  const bytes = languageOf(byteTokenizer(), 256);
  const matcher = compiled(schema({ type: 'string', maxLength: 1 }), bytes).matcher();
  const mask = new Uint32Array(bytes.vocabulary.maskLength);
  for (const byte of [0x22, 0xe2, 0x82]) assert.ok(matcher.accept(byte));
  matcher.mask(mask);
  assert.deepEqual(
    allowedTokens(mask),
    Array.from({ length: 64 }, (_, i) => 0x80 + i),
  );
  assert.ok(matcher.accept(0xac));
  matcher.mask(mask);
  assert.deepEqual(allowedTokens(mask), [0x22]);
});

test('equal specifications are compiled once, and the oldest make room', () => {
  const cache = new ConstraintCache(nano.vocabulary, { capacity: 2 });
  const of = (n: number) => cache.compile(schema({ const: n }));
  const first = of(1);
  assert.equal(of(1), first);
  of(2);
  assert.equal(of(1), first);
  of(3); // 2 is the one that was not asked for again
  assert.equal(of(1), first);
  assert.equal(cache.compile({ type: 'regex', pattern: '(' }), cache.compile({ type: 'regex', pattern: '(' }));
});

test('a specification without a text is refused', () => {
  for (const [spec, reason] of [
    [{ type: 'choice', options: [] }, /at least one option/],
    [{ type: 'regex', pattern: '[^\\s\\S]' }, /no text/],
    [{ type: 'regex', pattern: '(a)\\1' }, /backreferences/],
    [{ type: 'after-reasoning', answer: schema(false) }, /no value/],
  ] as const) {
    const result = compileConstraint(spec, nano.vocabulary, nano.masks);
    assert.ok(result.type === 'refused' && reason.test(result.reason), JSON.stringify(result));
  }
});

/** One token for each byte, and one to stop. */
function byteTokenizer(): Tokenizer {
  return {
    vocabularySize: 257,
    addedIds: new Set([256]),
    encode: (text) => [...new TextEncoder().encode(text)],
    decode: (ids) => new TextDecoder().decode(Uint8Array.from(ids)),
    tokenId: () => undefined,
    bytes: (id) => Uint8Array.of(id),
    decoder: () => ({ push: (id) => String.fromCharCode(id), end: () => '' }),
  };
}
