import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import { openDevice } from '@hadal/kernels/device';
import type { AttentionForm } from '@hadal/models/architecture';
import { openModel } from '@hadal/models/language-model';
import fc from 'fast-check';
import type { GenerateRequest } from './engine.ts';
import { type RequestEvent, Runner } from './runner.ts';

const golden = fileURLToPath(new URL('../../test/golden/deepseek-v3', import.meta.url));

/** Token i is the character with code point i: enough to watch text, with nothing to train. */
const tokenizer: Tokenizer = {
  vocabularySize: 128,
  encode: (text) => [...text].map((character) => character.codePointAt(0) as number),
  decode: (ids) => String.fromCodePoint(...ids),
  addedIds: new Set(),
  tokenId: (token) => token.codePointAt(0),
  bytes: (id) => Uint8Array.of(id),
  decoder: () => ({ push: (id) => String.fromCodePoint(id), end: () => '' }),
};

const base: GenerateRequest = {
  ...{ prompt: [5, 6, 7], maxTokens: 8, temperature: 1, topP: 1, seed: 1 },
  ...{ stop: [], stopTokens: [], topLogprobs: undefined },
};

interface Options {
  readonly form?: AttentionForm;
  readonly stepTokens?: number;
  readonly cacheBytes?: number;
  readonly threads?: number;
}

/** Runs requests to their ends, `arrival[i]` steps after the first; returns each one's events. */
function run(requests: readonly GenerateRequest[], options: Options = {}, arrival: readonly number[] = []) {
  const { form = 'expanded', stepTokens = 512, cacheBytes = 2 ** 22, threads = 2 } = options;
  using device = openDevice({ threads });
  using model = openModel(device, golden, { form });
  using runner = new Runner(device, model, tokenizer, { stepTokens, cacheBytes });
  const events: RequestEvent[][] = requests.map(() => []);
  const pending = requests.map((request, key) => ({ request, key, at: arrival[key] ?? 0 }));
  for (let step = 0; pending.length > 0 || runner.hasWork; step++) {
    for (const due of pending.filter(({ at }) => at <= step)) {
      pending.splice(pending.indexOf(due), 1);
      runner.add(due.key, due.request, due.request.seed ?? 0, (event) => events[due.key]?.push(event));
    }
    runner.step();
  }
  return events;
}

function tokens(events: readonly RequestEvent[] | undefined) {
  return (events ?? []).filter((event) => event.type === 'token');
}

test('a request has the same tokens and log-probabilities, bit for bit, alone and among others that come and go', () => {
  const request = fc.record({
    prompt: fc.array(fc.integer({ min: 0, max: 127 }), { minLength: 1, maxLength: 90 }),
    maxTokens: fc.integer({ min: 1, max: 12 }),
    temperature: fc.constantFrom(0, 0.7, 1.3),
    seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    at: fc.integer({ min: 0, max: 6 }),
  });
  fc.assert(
    fc.property(
      fc.array(request, { minLength: 2, maxLength: 5 }),
      fc.constantFrom<AttentionForm>('expanded', 'absorbed'),
      (mix, form) => {
        const requests = mix.map(({ at: _, ...request }) => ({ ...base, ...request, topLogprobs: 3 }));
        const arrival = mix.map(({ at }) => at);
        const together = run(requests, { form, stepTokens: 33 }, arrival);
        requests.forEach((each, i) => {
          const [alone] = run([each], { form, threads: 1 });
          assert.deepEqual(together[i], alone);
        });
      },
    ),
    { numRuns: 12 },
  );
});

test('a prompt read in pieces gives the bits of one read at once', () => {
  const request = { ...base, prompt: Array.from({ length: 150 }, (_, i) => (i * 7) % 128), topLogprobs: 5 };
  assert.deepEqual(run([request], { stepTokens: 7 }), run([request], { stepTokens: 512 }));
});

test('a seed repeats its choices and another seed makes others', () => {
  const request = { ...base, temperature: 1.5, maxTokens: 24 };
  const ids = (seed: number) => tokens(run([{ ...request, seed }])[0]).map(({ id }) => id);
  assert.deepEqual(ids(3), ids(3));
  assert.notDeepEqual(ids(3), ids(4));
});

test('log-probabilities come with the choice and, greedily, the best alternative is the choice', () => {
  const [events] = run([{ ...base, temperature: 0, topLogprobs: 4 }]);
  assert.equal(tokens(events).length, 8);
  for (const { id, logprob, top } of tokens(events)) {
    assert.equal(top.length, 4);
    assert.deepEqual(top[0], { id, logprob });
    assert.ok(logprob < 0);
  }
});

test('requests wait for pages and are served in their order, and every page comes back', () => {
  const requests = Array.from({ length: 4 }, (_, seed) => ({ ...base, seed, prompt: Array<number>(100).fill(9) }));
  // Each takes two pages of 64 tokens; here is room for one of them at a time.
  const bytes = 2 * 64 * (4 * 24 + 4 * 16) * 4 * 3;
  const events = run(requests, { cacheBytes: bytes });
  const wide = run(requests);
  assert.deepEqual(events, wide);
  for (const each of events) assert.equal(each.at(-1)?.type, 'finish');
});

test('a stop token ends the text before it; a stop string too, even one that spans tokens', () => {
  const greedy = { ...base, temperature: 0, maxTokens: 12 };
  const text = (events: readonly RequestEvent[] | undefined) =>
    tokens(events)
      .map((event) => event.text)
      .join('');
  const [free] = run([greedy]);
  const whole = text(free);
  assert.equal(whole.length, 12);
  const spanning = whole.slice(5, 8);
  const [stopped] = run([{ ...greedy, stop: [spanning] }]);
  assert.equal(text(stopped), whole.slice(0, whole.indexOf(spanning)));
  assert.deepEqual(stopped?.at(-1), {
    type: 'finish',
    reason: 'stop',
    promptTokens: 3,
    completionTokens: whole.indexOf(spanning) + 3,
  });
  const token = whole.codePointAt(4) as number;
  const [ended] = run([{ ...greedy, stopTokens: [token] }]);
  assert.equal(text(ended), whole.slice(0, whole.indexOf(whole[4] as string)));
  const [unmet] = run([{ ...greedy, stop: [`${whole.slice(9)}never`] }]);
  assert.equal(text(unmet), whole);
});

test('abort ends a request that runs, one that waits, and leaves the others alone', () => {
  using device = openDevice();
  using model = openModel(device, golden, {});
  using runner = new Runner(device, model, tokenizer, { stepTokens: 64, cacheBytes: 2 * 64 * 160 * 4 * 3 });
  const heard: RequestEvent[][] = [[], [], []];
  const long = { ...base, maxTokens: 60 };
  for (const key of [0, 1, 2])
    runner.add(key, { ...long, prompt: Array<number>(60).fill(key) }, key, (event) => heard[key]?.push(event));
  for (let i = 0; i < 5; i++) runner.step();
  runner.abort(0);
  runner.abort(1);
  assert.deepEqual(heard[0]?.at(-1), { type: 'finish', reason: 'aborted', promptTokens: 60, completionTokens: 5 });
  assert.deepEqual(heard[1], [{ type: 'finish', reason: 'aborted', promptTokens: 60, completionTokens: 0 }]);
  while (runner.hasWork) runner.step();
  assert.deepEqual(heard[2]?.at(-1), { type: 'finish', reason: 'length', promptTokens: 60, completionTokens: 60 });
  runner.abort(2);
});

test('what cannot be served is refused with the reason', () => {
  const refusal = (change: Partial<GenerateRequest>, options: Options = {}) => {
    const [events] = run([{ ...base, ...change }], options);
    assert.equal(events?.length, 1);
    return events?.[0]?.type === 'error' ? events[0].message : undefined;
  };
  assert.match(refusal({ prompt: [] }) ?? '', /^prompt: expected at least one token/);
  assert.match(refusal({ prompt: [1, 128] }) ?? '', /^prompt: expected token ids from 0 to 127, got 128/);
  assert.match(refusal({ maxTokens: 0 }) ?? '', /^maxTokens: expected 1 to \d+ after 3 of prompt, got 0/);
  assert.match(refusal({ maxTokens: 500 }, { cacheBytes: 1 }) ?? '', /^prompt: expected at most 64 tokens/);
});
