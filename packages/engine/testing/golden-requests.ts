// Requests run to their ends on the small models of test/golden.
//
// Used by tests of the engine only: a tokenizer that shows what is said, a runner for each call, and its requests' events.

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { type Checkpoint, openCheckpointDirectory } from '@hadal/formats/checkpoint';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import { openDevice } from '@hadal/kernels/device';
import type { AttentionForm } from '@hadal/models/architecture';
import { type LanguageModel, openModel } from '@hadal/models/language-model';
import type { PackedDtype } from '@hadal/tensor/packed-matrix';
import { ModelDrafter } from '../drafters/draft-model.ts';
import { type GenerateRequest, plainRequest } from '../engine.ts';
import { Runner, type RunnerOptions } from '../runner.ts';
import type { RequestEvent } from '../sequence.ts';

export const goldenOf = (name: string) =>
  openCheckpointDirectory(fileURLToPath(new URL(`../../../test/golden/${name}`, import.meta.url)));
export const golden = goldenOf('deepseek-v3');

/** Token i is the character with code point i: enough to watch text, with nothing to train. */
export const tokenizer: Tokenizer = {
  vocabularySize: 128,
  encode: (text) => [...text].map((character) => character.codePointAt(0) as number),
  decode: (ids) => String.fromCodePoint(...ids),
  addedIds: new Set(),
  tokenId: (token) => token.codePointAt(0),
  bytes: (id) => Uint8Array.of(id),
  decoder: () => ({ push: (id) => String.fromCodePoint(id), end: () => '' }),
};

export const base: GenerateRequest = {
  ...plainRequest,
  ...{ prompt: [5, 6, 7], maxTokens: 8, temperature: 1, seed: 1 },
};

export interface Options extends Partial<RunnerOptions> {
  readonly checkpoint?: Checkpoint;
  readonly dtype?: PackedDtype;
  readonly form?: AttentionForm;
  readonly threads?: number;
}

/** Bytes of one page of the golden's expanded cache: three layers and the predictor of 4 heads. */
export const pageBytes = 64 * (4 * 24 + 4 * 16) * 4 * 4;

/** Runs requests to their ends, `arrival[i]` steps after the first; returns each one's events. */
export function run(requests: readonly GenerateRequest[], options: Options = {}, arrival: readonly number[] = []) {
  const { checkpoint = golden, dtype = 'bf16', threads = 2, ...rest } = options;
  const { form = checkpoint === golden ? 'expanded' : 'standard', ...runnerOptions } = rest;
  using device = openDevice({ threads });
  using model = openModel(device, checkpoint, { dtype, form, predictor: 'present' });
  const drafters = { draft: new ModelDrafter(device, openModel(device, goldenOf('qwen2')), 2 ** 21) };
  using runner = new Runner(device, model, tokenizer, { cacheBytes: 2 ** 22, drafters, ...runnerOptions });
  return serve(runner, requests, arrival);
}

export function serve(runner: Runner, requests: readonly GenerateRequest[], arrival: readonly number[] = []) {
  const events: RequestEvent[][] = requests.map(() => []);
  const pending = requests.map((request, key) => ({ request, key, at: arrival[key] ?? 0 }));
  for (let step = 0; pending.length > 0 || runner.hasWork; step++) {
    for (const due of pending.filter(({ at }) => at <= step)) {
      pending.splice(pending.indexOf(due), 1);
      runner.add(due.key, due.request, due.request.seed ?? 0, (event) => events[due.key]?.push(event));
    }
    runner.step();
  }
  assert.equal(runner.load.availablePages, runner.load.pages, 'every page comes back');
  return events;
}

/** What was said, without how it was done: cached tokens and guesses may differ. */
export function said(events: readonly RequestEvent[] | undefined) {
  return (events ?? []).map((event) =>
    event.type === 'finish'
      ? { ...event, cacheHitTokens: 0, acceptedDraftTokens: 0, rejectedDraftTokens: 0, queuedMs: 0 }
      : event,
  );
}

/** The model, telling how many tokens each pass reads. */
export function watched(model: LanguageModel, onRead: (count: number) => void): LanguageModel {
  const forward: LanguageModel['forward'] = (...args) => {
    onRead(args[1].length);
    return model.forward(...args);
  };
  return { ...model, forward };
}

export function finishOf(events: readonly RequestEvent[] | undefined) {
  const last = events?.at(-1);
  assert.equal(last?.type, 'finish');
  return last as Extract<RequestEvent, { type: 'finish' }>;
}

export function tokens(events: readonly RequestEvent[] | undefined) {
  return (events ?? []).filter((event) => event.type === 'token');
}
