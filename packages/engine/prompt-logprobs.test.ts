import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpoint } from '@hadal/formats/checkpoint';
import { openDevice } from '@hadal/kernels/device';
import { openModel } from '@hadal/models/language-model';
import type { PackedMatrix } from '@hadal/tensor/packed-matrix';
import { type GenerateRequest, openEngine, plainRequest, type TokenEvent } from './engine.ts';
import { Runner } from './runner.ts';
import {
  base,
  finishOf,
  golden,
  goldenOf,
  pageBytes,
  run,
  serve,
  tokenizer,
  tokens,
} from './testing/golden-requests.ts';

const greedy = { ...base, temperature: 0 };
const prompt = (length: number, step: number) => Array.from({ length }, (_, i) => (i * step) % 96);

/** What was told of a prompt's places, each with its place; whatever the pieces it was told in. */
function placesOf(events: readonly { readonly type: string }[] | undefined) {
  return ((events ?? []) as TokenEvent[]).flatMap((event) => {
    if (event.type !== 'prompt-top') return [];
    const { from, count, ids, logprobs } = event;
    return Array.from({ length: ids.length / count }, (_, row) => ({
      place: from + row,
      top: Array.from({ length: count }, (_, k) => {
        return { id: ids[row * count + k] as number, logprob: logprobs[row * count + k] as number };
      }),
    }));
  });
}

function choicesOf(events: readonly { readonly type: string }[] | undefined) {
  return ((events ?? []) as TokenEvent[]).flatMap((event) => (event.type === 'prompt' ? event.logprobs : []));
}

test('what was likeliest in a prompt is what would have been when its tokens were chosen, bit for bit', () => {
  const top = 20;
  const request = { ...greedy, prompt: prompt(90, 7), maxTokens: 100, topLogprobs: top };
  for (const checkpoint of [golden, goldenOf('qwen2')]) {
    const answer = tokens(run([request], { checkpoint })[0]);
    const whole = [...request.prompt, ...answer.map(({ id }) => id)];
    const score = { ...greedy, prompt: whole, maxTokens: 1, topPromptLogprobs: top };
    const other = { ...base, prompt: prompt(70, 11), maxTokens: 20, topPromptLogprobs: 3 };
    for (const stepTokens of [37, 512]) {
      const [scored, beside] = run([score, other], { checkpoint, stepTokens }, [0, 1]);
      const places = placesOf(scored);
      assert.deepEqual(
        places.map(({ place }) => place),
        Array.from({ length: whole.length - 1 }, (_, i) => i + 1),
      );
      assert.deepEqual(
        places.slice(request.prompt.length - 1).map((place) => place.top),
        answer.map((token) => token.top),
      );
      assert.deepEqual(placesOf(beside), placesOf(run([other], { checkpoint, threads: 1 })[0]));
    }
  }
});

test('from a place on, the places before it cost no product with the head, and what is told is the same', () => {
  using device = openDevice();
  using model = openModel(device, golden, { predictor: 'present' });
  const packed = model.head as PackedMatrix;
  let headRows = 0;
  const multiply: PackedMatrix['multiply'] = (...args) => {
    headRows += args[3];
    packed.multiply(...args);
  };
  const head = Object.create(packed, { multiply: { value: multiply } }) as PackedMatrix;
  using runner = new Runner(device, { ...model, head }, tokenizer, { cacheBytes: 2 ** 22 });
  const score = (promptLogprobsFrom: number, ask: Partial<GenerateRequest>) => {
    headRows = 0;
    const request = { ...greedy, prompt: prompt(300, 13), maxTokens: 1, topLogprobs: 2, promptLogprobsFrom, ...ask };
    const [events] = serve(runner, [request]);
    return { events, headRows };
  };
  const both = { promptLogprobs: 'all', topPromptLogprobs: 5 } as const;
  const whole = score(1, both);
  assert.equal(whole.headRows, 299 + 1);
  const end = score(250, both);
  assert.equal(end.headRows, 50 + 1);
  assert.deepEqual(placesOf(end.events), placesOf(whole.events).slice(249));
  assert.deepEqual(choicesOf(end.events), choicesOf(whole.events).slice(249));
  assert.deepEqual(choicesOf(score(250, { promptLogprobs: 'all' }).events), choicesOf(end.events));
  assert.deepEqual(placesOf(score(250, { topPromptLogprobs: 5 }).events), placesOf(end.events));
  assert.deepEqual(score(300, both).headRows, 1);
  for (const { place, top } of placesOf(end.events)) {
    const choice = choicesOf(end.events)[place - 250];
    assert.deepEqual(choice?.top, top.slice(0, 2), 'the bits of both are those of one');
  }
});

test('what comes before the first place that is told need not be read again', () => {
  using device = openDevice();
  using model = openModel(device, golden, { predictor: 'present' });
  using runner = new Runner(device, model, tokenizer, { cacheBytes: 40 * pageBytes });
  const request = { ...greedy, prompt: prompt(200, 13), maxTokens: 1, topPromptLogprobs: 5 };
  const score = (promptLogprobsFrom: number) => {
    const [events] = serve(runner, [{ ...request, promptLogprobsFrom }]);
    return { places: placesOf(events), hits: finishOf(events).cacheHitTokens };
  };
  const whole = score(1);
  assert.equal(whole.hits, 0);
  for (const [from, hits] of [
    [1, 0],
    // The row of token 64 is needed where 65 is the first.
    [64, 0],
    [65, 64],
    [150, 128],
    [200, 192],
  ] as const) {
    const again = score(from);
    assert.equal(again.hits, hits, `from ${from}`);
    assert.deepEqual(again.places, whole.places.slice(from - 1));
  }
});

test('prompts that are scored together with others are told once, even by one that lost its pages meanwhile', () => {
  const score = { ...greedy, maxTokens: 3, promptLogprobs: 'all', topPromptLogprobs: 4 } as const;
  const [first, second] = [
    { ...score, prompt: prompt(300, 5) },
    { ...score, prompt: prompt(310, 7) },
  ];
  // Each takes five pages, of which there are eight: the younger one has to begin again.
  const requests = [first, second, { ...second, promptLogprobsFrom: 100 }, { ...base, prompt: second.prompt }];
  const together = run(requests, { cacheBytes: 8 * pageBytes, stepTokens: 40 });
  requests.forEach((request, i) => {
    const [alone] = run([request]);
    assert.deepEqual(placesOf(together[i]), placesOf(alone));
    assert.deepEqual(choicesOf(together[i]), choicesOf(alone));
    assert.deepEqual(tokens(together[i]), tokens(alone));
  });
});

test('more tokens than there are of a vocabulary are all of them; what is not among the numbers is refused', () => {
  const ask = (change: Partial<GenerateRequest>) => run([{ ...greedy, maxTokens: 1, ...change }])[0] ?? [];
  const [place] = placesOf(ask({ topPromptLogprobs: 256 }));
  assert.equal(place?.top.length, 128);
  assert.ok(Math.abs((place?.top ?? []).reduce((sum, { logprob }) => sum + Math.exp(logprob), 0) - 1) < 1e-5);
  for (const topPromptLogprobs of [0, 257, 1.5, Number.NaN]) {
    assert.match(JSON.stringify(ask({ topPromptLogprobs })), /topPromptLogprobs: expected 1 to 256 tokens, got/);
  }
  for (const promptLogprobsFrom of [0, 1.5, Number.NaN]) {
    assert.match(JSON.stringify(ask({ promptLogprobsFrom })), /promptLogprobsFrom: expected a token from 1 on, got/);
  }
});

test('they come from the engine’s thread as numbers in arrays, in pieces of bounded size', async () => {
  const checkpoint = await openCheckpoint(join(import.meta.dirname, '../../models/hadal-nano'));
  await using engine = await openEngine({ checkpoint, contextLength: 1024 });
  const text = engine.tokenizer.encode('The deepest zone of the sea is the hadal zone. '.repeat(20)).slice(0, 180);
  const request = { ...plainRequest, prompt: text, maxTokens: 1, topPromptLogprobs: 128, promptLogprobsFrom: 20 };
  const heard: TokenEvent[] = [];
  for await (const event of engine.generate(request)) heard.push(event);
  let next = 20;
  for (const event of heard) {
    if (event.type !== 'prompt-top') continue;
    assert.ok(event.ids instanceof Int32Array && event.logprobs instanceof Float32Array);
    assert.equal(event.from, next);
    assert.equal(event.ids.buffer.byteLength, event.ids.byteLength, 'nothing else travels with them');
    assert.ok(event.ids.length <= 64 * 128);
    next += event.ids.length / 128;
  }
  assert.equal(next, 180);
});
