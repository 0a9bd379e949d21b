import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDevice } from '@hadal/kernels/device';
import type { AttentionForm } from '@hadal/models/architecture';
import { openModel } from '@hadal/models/language-model';
import { packedDtypes } from '@hadal/tensor/packed-matrix';
import fc from 'fast-check';
import type { GenerateRequest } from './engine.ts';
import { PageFiles } from './page-files.ts';
import { Runner } from './runner.ts';
import type { RequestEvent } from './sequence.ts';
import {
  base,
  finishOf,
  golden,
  goldenOf,
  type Options,
  pageBytes,
  run,
  said,
  serve,
  tokenizer,
  tokens,
  watched,
} from './testing/golden-requests.ts';

/** Events without log-probabilities, which what was forced has only where they were asked for. */
function withoutLogprobs(events: readonly RequestEvent[] | undefined) {
  return said(events).map((event) => {
    if (event.type === 'token') return { ...event, logprob: 0, top: [] };
    return event.type === 'finish' ? { ...event, stopToken: undefined } : event;
  });
}

test('whatever shares its steps, whatever is cached, guessed or taken away: a request says the same, bit for bit', () => {
  const request = fc.record({
    // Few tokens, so that prompts share prefixes and completions repeat themselves.
    prompt: fc.array(fc.integer({ min: 60, max: 62 }), { minLength: 1, maxLength: 200 }),
    sharesPrefix: fc.boolean(),
    maxTokens: fc.integer({ min: 1, max: 40 }),
    temperature: fc.constantFrom(0, 0.7, 1.3),
    frequencyPenalty: fc.constantFrom(0, 0, 0.7),
    topK: fc.constantFrom(0, 3),
    minP: fc.constantFrom(0, 0.05),
    seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    reasoningLimit: fc.constantFrom(undefined, { endToken: 61, maxTokens: 5 }),
    answerLimit: fc.constantFrom(undefined, undefined, { endToken: 61, maxTokens: 7 }),
    constraint: fc.constantFrom<GenerateRequest['constraint']>(
      undefined,
      undefined,
      { type: 'choice', options: ['<=><=><=>', '<=>>'] },
      { type: 'regex', pattern: '([<=]|>{9}){2,30}' },
    ),
    topLogprobs: fc.constantFrom(undefined, 3),
    namespace: fc.constantFrom('', 'a'),
    priority: fc.constantFrom('interactive' as const, 'batch' as const),
    speculation: fc.constantFrom<GenerateRequest['speculation'][]>(
      { method: 'none' },
      { method: 'ngram', draftTokens: 'adaptive' },
      { method: 'ngram', draftTokens: 5 },
      { method: 'mtp', draftTokens: 'adaptive' },
      { method: 'mtp', draftTokens: 3 },
      { method: 'draft', draftTokens: 4 },
    ),
    at: fc.integer({ min: 0, max: 30 }),
  });
  const prefix = Array.from({ length: 130 }, (_, i) => 60 + (i % 3));
  fc.assert(
    fc.property(
      fc.array(request, { minLength: 2, maxLength: 6 }),
      fc.constantFrom<AttentionForm>('expanded', 'absorbed'),
      fc.integer({ min: 6, max: 20 }),
      (mix, form, pages) => {
        const requests = mix.map(({ at: _, sharesPrefix, prompt, ...rest }) => ({
          ...{ ...base, ...rest, stopTokens: [10] },
          prompt: sharesPrefix ? [...prefix, ...prompt] : prompt,
        }));
        const arrival = mix.map(({ at }) => at);
        // Hardly room for one of them: they share, wait, and take each other's pages.
        const together = run(requests, { form, stepTokens: 47, cacheBytes: pages * pageBytes }, arrival);
        requests.forEach((each, i) => {
          const [alone] = run([{ ...each, speculation: { method: 'none' } }], { form, threads: 1 });
          assert.deepEqual(said(together[i]), said(alone));
        });
      },
    ),
    { numRuns: 12 },
  );
});

test('a prompt read in pieces gives the bits of one read at once', () => {
  const request = { ...base, prompt: Array.from({ length: 150 }, (_, i) => (i * 7) % 128), topLogprobs: 5 };
  const [pieces, whole] = [7, 512].map((stepTokens) => run([request], { stepTokens }).map(said));
  assert.deepEqual(pieces, whole);
});

for (const [name, form] of [
  ['deepseek-v3', 'absorbed'],
  ['qwen2', 'standard'],
  ['llama-all-biases', 'standard'],
  ['deepseek-v3.2', 'absorbed'],
  ['deepseek-v4-fp4', 'standard'],
] as const) {
  for (const dtype of packedDtypes) {
    test(`${name} in ${dtype}: a request has the same bits alone, in a batch, and read in pieces`, () => {
      const options = { checkpoint: goldenOf(name), dtype, form };
      const prompt = (seed: number) => Array.from({ length: 20 + 30 * seed }, (_, i) => (i * (7 + seed)) % 96);
      const requests = [0, 1, 2].map((seed) => ({ ...base, seed, prompt: prompt(seed), topLogprobs: 3 }));
      const together = run(requests, { ...options, stepTokens: 33 }, [0, 2, 3]);
      requests.forEach((request, i) => {
        assert.deepEqual(said(together[i]), said(run([request], { ...options, threads: 1 })[0]));
      });
    });
  }
}

test('what a constraint leaves no choice about is said without being computed, and is the same', () => {
  const constraint = { type: 'regex', pattern: 'begin[ab](middle){3}[cd]end' } as const;
  using device = openDevice({ threads: 1 });
  using model = openModel(device, golden, { predictor: 'present' });
  const passes: number[] = [];
  const watching = watched(model, (count) => passes.push(count));
  const answer = (
    topLogprobs: number | undefined,
    speculation: GenerateRequest['speculation'] = { method: 'none' },
  ) => {
    passes.length = 0;
    using runner = new Runner(device, watching, tokenizer, { cacheBytes: 2 ** 22 });
    const request = { ...base, ...{ constraint, maxTokens: 99, stopTokens: [10], speculation, topLogprobs } };
    const [events] = serve(runner, [request]);
    return { events, text: tokens(events).reduce((text, token) => text + token.text, ''), passes: [...passes] };
  };
  const [plain, jumped] = [answer(0), answer(undefined)];
  assert.match(plain.text, /^begin[ab](middle){3}[cd]end$/);
  assert.equal(finishOf(plain.events).reason, 'stop');
  assert.deepEqual(withoutLogprobs(jumped.events), withoutLogprobs(plain.events));
  // One token at a time, against what was forced before each of the two choices read at once.
  assert.equal(plain.passes.length, plain.text.length + 1);
  assert.deepEqual(jumped.passes, [3 + 'begin'.length, 'a'.length + 'middle'.length * 3]);
  for (const method of ['mtp', 'ngram'] as const) {
    const drafted = answer(0, { method, draftTokens: 4 });
    assert.deepEqual(said(drafted.events), said(plain.events));
    assert.ok(drafted.passes.length < plain.passes.length);
  }
});

test('a constraint that cannot be enforced is refused with place and reason, and one needs an end', () => {
  const schema = { type: 'object', properties: { a: { type: 'string', pattern: '(?=b)' } } };
  const [events] = run([{ ...base, stopTokens: [10], constraint: { type: 'json-schema', schema, isStrict: true } }]);
  assert.equal(events?.length, 1);
  const [event] = events ?? [];
  assert.ok(event?.type === 'unenforceable');
  assert.equal(event.refusal.pointer, '/properties/a/pattern');
  const [endless] = run([{ ...base, constraint: { type: 'json-object' } }]);
  assert.match(JSON.stringify(endless), /stopTokens: expected one at least beside a constraint/);
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
  const events = run(requests, { cacheBytes: 2 * pageBytes });
  const wide = run(requests);
  assert.deepEqual(events.map(said), wide.map(said));
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
  const { reason, promptTokens, completionTokens } = finishOf(stopped);
  assert.deepEqual([reason, promptTokens, completionTokens], ['stop', 3, whole.indexOf(spanning) + 3]);
  const token = whole.codePointAt(4) as number;
  const [ended] = run([{ ...greedy, stopTokens: [token] }]);
  assert.equal(text(ended), whole.slice(0, whole.indexOf(whole[4] as string)));
  const [unmet] = run([{ ...greedy, stop: [`${whole.slice(9)}never`] }]);
  assert.equal(text(unmet), whole);
});

test('abort ends a request that runs, one that waits, and leaves the others alone', () => {
  using device = openDevice();
  using model = openModel(device, golden, { predictor: 'present' });
  using runner = new Runner(device, model, tokenizer, { stepTokens: 64, cacheBytes: 2 * pageBytes });
  const heard: RequestEvent[][] = [[], [], []];
  const long = { ...base, maxTokens: 60 };
  for (const key of [0, 1, 2])
    runner.add(key, { ...long, prompt: Array<number>(60).fill(key) }, key, (event) => heard[key]?.push(event));
  for (let i = 0; i < 5; i++) runner.step();
  const outcome = (key: number) => {
    const { reason, promptTokens, completionTokens } = finishOf(heard[key]);
    return [reason, promptTokens, completionTokens];
  };
  runner.abort(2);
  assert.deepEqual(outcome(2), ['aborted', 60, 0]);
  runner.abort(0);
  assert.deepEqual(outcome(0), ['aborted', 60, tokens(heard[0]).length]);
  while (runner.hasWork) runner.step();
  assert.deepEqual(outcome(1), ['length', 60, 60]);
  runner.abort(1);
  assert.equal(runner.load.availablePages, runner.load.pages);
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
  const mtp = { method: 'mtp', draftTokens: 2 } as const;
  const refused = refusal({ speculation: mtp }, { checkpoint: goldenOf('qwen2') });
  assert.match(refused ?? '', /^speculation: this model has no drafter "mtp"/);
  const far = { method: 'ngram', draftTokens: 17 } as const;
  assert.match(refusal({ speculation: far }) ?? '', /^speculation: expected 1 to 16 tokens ahead, got 17/);
});

test('a prefix that was read before is not read again, to the page, in the same namespace only', () => {
  using device = openDevice();
  using model = openModel(device, golden, { predictor: 'present' });
  using runner = new Runner(device, model, tokenizer, { cacheBytes: 40 * pageBytes });
  const prompt = Array.from({ length: 200 }, (_, i) => (i * 11) % 128);
  const hits = (change: Partial<GenerateRequest>) =>
    serve(runner, [{ ...base, prompt, ...change }]).map((events) => finishOf(events).cacheHitTokens);
  assert.deepEqual(hits({}), [0]);
  assert.deepEqual(hits({}), [192]);
  assert.deepEqual(hits({ namespace: 'other' }), [0]);
  // The last token of a prompt is always read: the next one is chosen after it.
  assert.deepEqual(hits({ prompt: prompt.slice(0, 192) }), [128]);
  assert.deepEqual(hits({ prompt: [...prompt.slice(0, 100), 3, ...prompt.slice(101)] }), [64]);
  // An answer that comes back in the next prompt counts too.
  const [first] = serve(runner, [{ ...base, prompt: [1, 2, 3], maxTokens: 130 }]);
  const conversation = [1, 2, 3, ...tokens(first).map(({ id }) => id), 4, 5];
  assert.deepEqual(hits({ prompt: conversation }), [128]);
});

test('a prefix outlives the process on disk, bit for bit, for the same model and namespace only', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-prefixes-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const prompt = Array.from({ length: 300 }, (_, i) => (i * 13) % 128);
  const mtp = { method: 'mtp', draftTokens: 2 } as const;
  const read: number[] = [];
  const once = async (change: Partial<GenerateRequest>, fingerprint = 'golden') => {
    using device = openDevice();
    using model = openModel(device, golden, { form: 'expanded', predictor: 'present' });
    // A page at a time.
    const prefixFiles = { files: new PageFiles({ directory, maxBytes: 2 ** 26 }), fingerprint, readBytes: 1 };
    read.length = 0;
    const watching = watched(model, (count) => read.push(count));
    using runner = new Runner(device, watching, tokenizer, { cacheBytes: 40 * pageBytes, prefixFiles });
    const [events] = serve(runner, [{ ...base, prompt, topLogprobs: 3, ...change }]);
    await runner.flush();
    return events;
  };
  const cold = await once({ speculation: mtp });
  const warm = await once({ speculation: mtp });
  assert.equal(finishOf(cold).cacheHitTokens, 0);
  assert.equal(finishOf(warm).cacheHitTokens, 256);
  assert.equal(read[0], 300 - 256, 'nothing is computed that lies on disk');
  assert.deepEqual(said(warm), said(cold));
  assert.equal(finishOf(await once({ namespace: 'other' })).cacheHitTokens, 0);
  assert.equal(finishOf(await once({}, 'another model')).cacheHitTokens, 0);
  const [first] = readdirSync(directory);
  for (const file of readdirSync(directory)) writeFileSync(join(directory, file), file === first ? '' : 'damage');
  assert.deepEqual(said(await once({})), said(cold));
});

test('requests that come together with one prefix read it once', () => {
  const prompt = Array.from({ length: 400 }, (_, i) => (i * 11) % 128);
  const requests = Array.from({ length: 5 }, (_, seed) => ({ ...base, prompt: [...prompt, seed], seed }));
  using device = openDevice();
  using model = openModel(device, golden, { predictor: 'present' });
  let read = 0;
  using runner = new Runner(
    device,
    watched(model, (count) => (read += count)),
    tokenizer,
    {
      ...{ cacheBytes: 40 * pageBytes, stepTokens: 100 },
    },
  );
  const events = serve(runner, requests);
  const alone = requests.map((request) => run([request])[0]);
  assert.deepEqual(events.map(said), alone.map(said));
  // 384 tokens in full pages once, 17 for each, and 7 of each answer: its last token is never read.
  assert.equal(read, 384 + 5 * (17 + 7));
});

test('guesses change how many steps an answer takes, and nothing else', () => {
  const prompt = Array.from({ length: 40 }, (_, i) => 60 + (i % 4));
  const greedy = { ...base, prompt, temperature: 0, maxTokens: 60 };
  const [plain] = run([greedy]);
  const [guessed] = run([{ ...greedy, speculation: { method: 'ngram', draftTokens: 4 } }]);
  assert.deepEqual(said(guessed), said(plain));
  const answer = tokens(plain).map(({ id }) => id);
  const [predicted] = run([
    { ...greedy, speculation: { method: 'ngram', draftTokens: 8 }, prediction: [...prompt.slice(-4), ...answer] },
  ]);
  assert.deepEqual(said(predicted), said(plain));
  const { acceptedDraftTokens, rejectedDraftTokens } = finishOf(predicted);
  // Of 60 tokens: it takes some until the last ones stand in the prediction alone, and each step brings one unguessed.
  assert.ok(acceptedDraftTokens >= 40 && rejectedDraftTokens < 10, `${acceptedDraftTokens}, ${rejectedDraftTokens}`);
});

test('what is biased, penalized or restricted is chosen so, and its log-probability stays the model’s own', () => {
  const greedy = { ...base, temperature: 0, maxTokens: 6, topLogprobs: 5 };
  const [free] = run([greedy]);
  const first = tokens(free)[0] as Extract<RequestEvent, { type: 'token' }>;
  const [biased] = run([{ ...greedy, logitBias: [[first.id, Number.NEGATIVE_INFINITY]] }]);
  const second = tokens(biased)[0];
  assert.deepEqual({ id: second?.id, logprob: second?.logprob }, first.top[1]);
  assert.deepEqual(second?.top, first.top);
  const [penalized] = run([{ ...greedy, presencePenalty: 100, maxTokens: 30 }]);
  assert.equal(new Set(tokens(penalized).map(({ id }) => id)).size, 30);
  const [narrow] = run([{ ...base, temperature: 5, topK: 1, maxTokens: 6 }]);
  assert.deepEqual(
    tokens(narrow).map(({ id }) => id),
    tokens(free).map(({ id }) => id),
  );
});

test('reasoning that does not end is ended at its limit, and may end before', () => {
  const ids = (change: Partial<GenerateRequest>) =>
    tokens(run([{ ...base, temperature: 0, maxTokens: 12, ...change }])[0]).map(({ id }) => id);
  const free = ids({});
  const [end] = Array.from({ length: 128 }, (_, id) => id).filter((id) => !free.includes(id));
  const endToken = end as number;
  const limited = ids({ reasoningLimit: { endToken, maxTokens: 4 } });
  assert.deepEqual(limited.slice(0, 5), [...free.slice(0, 4), endToken]);
  assert.equal(limited.filter((id) => id === endToken).length, 1);
  assert.deepEqual(ids({ reasoningLimit: { endToken: free[2] as number, maxTokens: 4 } }), free);
});

test('a prompt’s own log-probabilities are those its tokens would have been chosen with', () => {
  const greedy = { ...base, temperature: 0, maxTokens: 20, topLogprobs: 2 };
  const [events] = run([greedy]);
  const answer = tokens(events);
  const prompt = [...base.prompt, ...answer.map(({ id }) => id)];
  for (const stepTokens of [7, 512]) {
    const [echo] = run([{ ...greedy, prompt, maxTokens: 1, promptLogprobs: 'all' }], { stepTokens });
    const scored = (echo ?? []).flatMap((event) => (event.type === 'prompt' ? event.logprobs : []));
    assert.equal(scored.length, prompt.length - 1);
    const expected = answer.map(({ id, logprob, top }) => ({ id, logprob, top }));
    assert.deepEqual(scored.slice(base.prompt.length - 1), expected);
  }
});

test('a full queue refuses, a deadline ends what waits and what runs, and neither costs the others anything', () => {
  using device = openDevice();
  using model = openModel(device, golden, { predictor: 'present' });
  let nowMs = 0;
  const options = { cacheBytes: 2 * pageBytes, maxWaiting: 2, now: () => nowMs };
  using runner = new Runner(device, model, tokenizer, options);
  const heard: RequestEvent[][] = [[], [], [], []];
  const long = { ...base, prompt: Array<number>(100).fill(7), maxTokens: 20 };
  const add = (key: number, request: GenerateRequest) =>
    runner.add(key, request, 1, (event) => heard[key]?.push(event));
  add(0, { ...long, deadlineMs: 500 });
  add(1, { ...long, namespace: 'late', deadlineMs: 100 });
  add(2, long);
  assert.deepEqual(heard[2], [{ type: 'refused', waiting: 2 }]);
  runner.step();
  add(2, long);
  nowMs = 100;
  runner.step();
  assert.equal(finishOf(heard[1]).reason, 'deadline');
  nowMs = 500;
  runner.step();
  assert.equal(finishOf(heard[0]).reason, 'deadline');
  while (runner.hasWork) runner.step();
  assert.equal(finishOf(heard[2]).reason, 'length');
  const waited = [0, 1, 2].map((key) => finishOf(heard[key]).queuedMs);
  assert.deepEqual(waited, [0, undefined, 500], 'until something was done, if ever');
  assert.equal(runner.load.availablePages, runner.load.pages);
});

test('a deadline for the start ends what waits, and nothing that has begun, even if it must wait again', () => {
  using device = openDevice();
  using model = openModel(device, golden, { predictor: 'present' });
  let nowMs = 0;
  using runner = new Runner(device, model, tokenizer, { cacheBytes: 3 * pageBytes, now: () => nowMs });
  const heard: RequestEvent[][] = [[], [], []];
  const add = (key: number, request: GenerateRequest) =>
    runner.add(key, request, 1, (event) => heard[key]?.push(event));
  const first = { ...base, prompt: Array<number>(60).fill(7), maxTokens: 70, startDeadlineMs: 100 };
  // Both fit at first; when the older one grows, the younger makes room and waits again.
  add(0, first);
  add(1, { ...first, prompt: Array<number>(60).fill(8) });
  runner.step();
  add(2, { ...first, prompt: Array<number>(100).fill(9) });
  nowMs = 100;
  while (runner.hasWork) runner.step();
  assert.deepEqual(
    heard.map((events) => finishOf(events).reason),
    ['length', 'length', 'deadline'],
  );
  assert.equal(finishOf(heard[2]).completionTokens, 0);
});

test('a long prompt does not hold up those that speak for longer than they were promised', () => {
  using device = openDevice();
  using model = openModel(device, golden, { predictor: 'present' });
  // A clock on which every token that is read takes a millisecond.
  let nowMs = 0;
  const slow = watched(model, (count) => (nowMs += count));
  using runner = new Runner(device, slow, tokenizer, { cacheBytes: 40 * pageBytes, stallMs: 50, now: () => nowMs });
  const spoken: number[] = [];
  runner.add(0, { ...base, prompt: Array<number>(200).fill(3), maxTokens: 60 }, 1, ({ type }) => {
    if (type === 'token') spoken.push(nowMs);
  });
  runner.step();
  runner.add(1, { ...base, prompt: Array.from({ length: 900 }, (_, i) => i % 128) }, 1, () => {});
  while (runner.hasWork) runner.step();
  const gaps = spoken.slice(1).map((at, i) => at - (spoken[i] as number));
  assert.ok(Math.max(...gaps) <= 51, `${Math.max(...gaps)} ms between two tokens`);
});
