// How long does a schema take to compile, and how long does a mask take for 128k tokens?
//
// Walks every golden schema at random and times the same walks again: with nothing cached (cold), and a second time in
// the same sequence's cache (warm). Each step counts with its fastest of several repetitions, because a shared machine
// interrupts. The vocabulary is a tokenizer.json named as the first argument, or else hadal-nano's, widened to 129,280
// tokens by joining its tokens in pairs: more tokens that cross the borders of syntax than a trained vocabulary has.

import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import type { ConstraintSpec } from '@hadal/engine/constraints/constraint';
import { ConstraintCache } from '@hadal/engine/constraints/constraint-cache';
import { allowedTokens, languageOf, walk } from '@hadal/engine/constraints/testing/random-walk';
import { makeVocabulary } from '@hadal/engine/constraints/vocabulary';
import { openTokenizer, type Tokenizer } from '@hadal/formats/tokenizer';
import { uniforms } from '@hadal/kernels/parity';

const repetitions = 5;
const tokensPerWalk = 250;

const root = join(import.meta.dirname, '..');
const [path] = process.argv.slice(2);
const tokenizer = path === undefined ? widened(openNano(), 129_280) : openTokenizer(path);

console.log(`${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores, ${new Date().toISOString()}`);
const started = performance.now();
const vocabulary = makeVocabulary({ tokenizer, stopTokens: [1] });
console.log(
  `${vocabulary.size} tokens (${path ?? 'synthetic'}), read in ${(performance.now() - started).toFixed(0)} ms\n`,
);

const folder = join(root, 'test/golden/json-schemas');
const specs = readdirSync(folder).map((file): ConstraintSpec => {
  return { type: 'json-schema', schema: JSON.parse(readFileSync(join(folder, file), 'utf8')), isStrict: false };
});

const language = languageOf(tokenizer);
const next = uniforms(1);
const cache = new ConstraintCache(vocabulary, { capacity: specs.length });
const walks = specs.flatMap((spec) => {
  const result = cache.compile(spec);
  return result.type === 'refused'
    ? []
    : [{ spec, tokens: walk(result.constraint, language, next, tokensPerWalk).tokens }];
});

const steps = walks.reduce((total, { tokens }) => total + tokens.length, 0);
const best = (length: number) => new Float64Array(length).fill(Number.POSITIVE_INFINITY);
const [compile, cold, warm, accept] = [best(walks.length), best(steps), best(steps), best(steps)];
const counts = new Float64Array(steps);
for (let repetition = 0; repetition < repetitions; repetition++) {
  const fresh = new ConstraintCache(vocabulary, { capacity: specs.length });
  let at = 0;
  for (const [w, { spec, tokens }] of walks.entries()) {
    const result = time(compile, w, () => fresh.compile(spec));
    if (result.type === 'refused') throw new Error(`expected a constraint, got ${result.reason}`);
    const mask = new Uint32Array(vocabulary.maskLength);
    for (const into of [cold, warm]) {
      const matcher = result.constraint.matcher();
      for (const [i, token] of tokens.entries()) {
        time(into, at + i, () => matcher.mask(mask));
        if (repetition === 0) counts[at + i] = allowedTokens(mask).length;
        time(accept, at + i, () => matcher.accept(token));
      }
    }
    at += tokens.length;
  }
}

console.log(`${walks.length} of ${specs.length} schemas, ${steps} masks`);
console.log(`\n${'milliseconds'.padEnd(24)}   median     90 %     99 %   99.9 %      max`);
print('compile', compile);
print('mask, cold', cold);
print('mask, warm', warm);
print('accept, forced tokens', accept);
const wide = cold.filter((_, i) => counts[i]! > vocabulary.size / 2);
print('cold, most allowed', wide);
console.log(`\nresident memory ${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MiB`);

function time<T>(into: Float64Array, index: number, work: () => T): T {
  const begin = performance.now();
  const result = work();
  into[index] = Math.min(into[index]!, performance.now() - begin);
  return result;
}

function print(name: string, values: Float64Array): void {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  const cells = [0.5, 0.9, 0.99, 0.999, 1].map((share) => at(share).toFixed(4).padStart(9));
  console.log(`${name.padEnd(24)}${cells.join('')}`);
}

function openNano(): Tokenizer {
  return openTokenizer(join(root, 'models/hadal-nano/tokenizer.json'));
}

/** The same tokenizer with pairs of its tokens as further tokens, which encoding never produces. */
function widened(of: Tokenizer, size: number): Tokenizer {
  const plain = Array.from({ length: of.vocabularySize }, (_, id) => id).filter((id) => !of.addedIds.has(id));
  const draw = uniforms(7);
  const pick = () => of.bytes(plain[Math.floor(draw() * plain.length)]!);
  const pairs = Array.from({ length: size - of.vocabularySize }, () => Uint8Array.of(...pick(), ...pick()));
  return { ...of, vocabularySize: size, bytes: (id) => pairs[id - of.vocabularySize] ?? of.bytes(id) };
}
