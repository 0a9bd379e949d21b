// The loop that serves many requests with one model.
//
// Owns every sequence from admission to its last token: pages, position, what is still to be read, how to choose the next
// token and when to stop. One call of `step` is one pass through the model over all of them; long prompts are read in
// pieces, so that they do not stall the others. Knows nothing of threads or HTTP. Invariant: a request's tokens do not
// depend on what shares its steps.

import type { StreamDecoder, Tokenizer } from '@hadal/formats/tokenizer';
import type { Device } from '@hadal/kernels/device';
import { sample, topLogprobs } from '@hadal/kernels/sampling';
import type { LanguageModel } from '@hadal/models/language-model';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import type { Tensor } from '@hadal/tensor/tensor';
import type { GenerateRequest, TokenEvent } from './engine.ts';
import { KvCache, type PageLease } from './kv-cache.ts';
import { StopText } from './stop-text.ts';
import { uniformAt } from './uniform.ts';

export interface RunnerOptions {
  readonly cacheBytes: number;
  /** Tokens in one pass, prompts and completions together. */
  readonly stepTokens: number;
}

export type RequestEvent = TokenEvent | { readonly type: 'error'; readonly message: string };

/** Receives the events of one request, in order; after `finish` or `error` there are none. */
export type Listener = (event: RequestEvent) => void;

interface Sequence {
  readonly key: number;
  readonly request: GenerateRequest;
  readonly seed: number;
  readonly emit: Listener;
  readonly lease: PageLease;
  readonly decoder: StreamDecoder;
  readonly stop: StopText;
  /** Tokens to be read before the next one can be chosen: what is left of the prompt, or the last choice. */
  unread: readonly number[];
  completion: number;
  /** The last token's event while its text, or part of it, is held back. */
  held: Extract<TokenEvent, { type: 'token' }> | undefined;
}

interface Waiting {
  readonly key: number;
  readonly request: GenerateRequest;
  readonly seed: number;
  readonly emit: Listener;
}

interface Choice {
  readonly id: number;
  readonly logprob: number;
  readonly top: readonly { readonly id: number; readonly logprob: number }[];
}

export class Runner {
  readonly #device: Device;
  readonly #model: LanguageModel;
  readonly #tokenizer: Tokenizer;
  readonly #cache: KvCache;
  readonly #arena: Arena;
  readonly #stepTokens: number;
  readonly #waiting: Waiting[] = [];
  readonly #running: Sequence[] = [];

  constructor(device: Device, model: LanguageModel, tokenizer: Tokenizer, options: RunnerOptions) {
    this.#device = device;
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#cache = new KvCache(device, model.cache, options.cacheBytes);
    this.#arena = new Arena(device.memory, 16 * 2 ** 20);
    this.#stepTokens = options.stepTokens;
  }

  get hasWork(): boolean {
    return this.#waiting.length + this.#running.length > 0;
  }

  /** Queues a request. `seed` decides its random choices; `key` names it for `abort`. */
  add(key: number, request: GenerateRequest, seed: number, emit: Listener): void {
    const problem = this.#reject(request);
    if (problem) emit({ type: 'error', message: problem });
    else this.#waiting.push({ key, request, seed, emit });
  }

  /** Ends a request at once, wherever it is; a request that has ended is none of our business. */
  abort(key: number): void {
    const queued = this.#waiting.findIndex((waiting) => waiting.key === key);
    if (queued >= 0) {
      const [{ request, emit }] = this.#waiting.splice(queued, 1) as [Waiting];
      emit(finish('aborted', request.prompt.length, 0));
      return;
    }
    const sequence = this.#running.find((running) => running.key === key);
    if (sequence) this.#end(sequence, 'aborted');
  }

  /** One pass through the model. */
  step(): void {
    this.#admit();
    const batch = this.#batch();
    if (batch.length === 0) return;
    const choices = this.#forward(batch);
    for (const [i, { sequence, tokens }] of batch.entries()) {
      sequence.lease.length += tokens.length;
      sequence.unread = sequence.unread.slice(tokens.length);
      if (sequence.unread.length === 0) this.#accept(sequence, choices[i] as Choice);
    }
  }

  [Symbol.dispose](): void {
    this.#cache[Symbol.dispose]();
    this.#arena[Symbol.dispose]();
  }

  #reject({ prompt, maxTokens }: GenerateRequest): string | undefined {
    if (prompt.length === 0) return 'prompt: expected at least one token';
    const { contextLength, vocabularySize } = this.#model;
    const foreign = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabularySize);
    if (foreign !== undefined) return `prompt: expected token ids from 0 to ${vocabularySize - 1}, got ${foreign}`;
    const total = prompt.length + maxTokens;
    if (maxTokens < 1 || total > contextLength) {
      return `maxTokens: expected 1 to ${contextLength - prompt.length} after ${prompt.length} of prompt, got ${maxTokens}`;
    }
    const room = this.#cache.pageCount * 64;
    return total > room ? `prompt: expected at most ${room} tokens with the completion, got ${total}` : undefined;
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const lease = this.#cache.reserve(next.request.prompt.length + next.request.maxTokens);
      if (!lease) return; // first come, first served: a large request is not overtaken for ever
      this.#waiting.shift();
      this.#running.push({
        ...next,
        lease,
        decoder: this.#tokenizer.decoder(),
        stop: new StopText(next.request.stop),
        unread: next.request.prompt,
        completion: 0,
        held: undefined,
      });
    }
  }

  /** Who is read how far in this step: completions first, prompts share what is left. */
  #batch(): { sequence: Sequence; tokens: readonly number[] }[] {
    let left = this.#stepTokens;
    const byNeed = [...this.#running].sort((a, b) => a.unread.length - b.unread.length);
    const batch: { sequence: Sequence; tokens: readonly number[] }[] = [];
    for (const sequence of byNeed) {
      if (left === 0) break;
      const tokens = sequence.unread.slice(0, left);
      batch.push({ sequence, tokens });
      left -= tokens.length;
    }
    return batch;
  }

  #forward(batch: readonly { sequence: Sequence; tokens: readonly number[] }[]): (Choice | undefined)[] {
    const arena = this.#arena;
    arena.reset();
    const g = new Graph(this.#device, arena, 'inference');
    const ids = arena.integers(Int32Array.from(batch.flatMap(({ tokens }) => tokens)));
    const extensions = batch.map(({ sequence, tokens }) => ({ lease: sequence.lease, count: tokens.length }));
    const { memory, positions } = this.#cache.extend(arena, extensions);
    const hidden = this.#model.forward(g, ids, positions, memory);

    // Only sequences that have read everything need logits, and only at their last token.
    const ready: number[] = [];
    const lastRows: number[] = [];
    let row = -1;
    for (const [i, { sequence, tokens }] of batch.entries()) {
      row += tokens.length;
      if (tokens.length < sequence.unread.length) continue;
      ready.push(i);
      lastRows.push(row);
    }
    const choices: (Choice | undefined)[] = batch.map(() => undefined);
    if (ready.length === 0) {
      g.run();
      return choices;
    }
    const logits = g.linear(g.embedding(hidden, arena.integers(Int32Array.from(lastRows))), this.#model.head);
    const chosen = this.#choose(
      logits,
      ready.map((i) => (batch[i] as { sequence: Sequence }).sequence),
    );
    for (const [n, i] of ready.entries()) choices[i] = chosen[n];
    return choices;
  }

  #choose(logits: Tensor, sequences: readonly Sequence[]): Choice[] {
    const { commands, memory } = this.#device;
    const [N, V] = [sequences.length, logits.dim(-1)];
    const floats = (of: (sequence: Sequence) => number) => this.#arena.floats(Float32Array.from(sequences, of));
    const topK = this.#arena.integers(Int32Array.from(sequences, ({ request }) => request.topK ?? 0));
    const ids = this.#arena.take([N], 'i32');
    const logprobs = this.#arena.take([N]);
    sample(
      ...([commands, logits] as const),
      ...([floats(({ request }) => request.temperature), topK, floats(({ request }) => request.topP)] as const),
      ...([floats(({ seed, completion }) => uniformAt(seed, completion)), ids, logprobs, { N, V }] as const),
    );
    const top = Math.min(V, Math.max(...sequences.map(({ request }) => request.topLogprobs ?? 0)));
    const topIds = this.#arena.take([N, top], 'i32');
    const topValues = this.#arena.take([N, top]);
    if (top > 0) topLogprobs(commands, logits, topIds, topValues, { N, V, top });
    commands.run();

    const [idValues, logprobValues] = [new Int32Array(N), new Float32Array(N)];
    memory.read(ids, idValues);
    memory.read(logprobs, logprobValues);
    const [topIdValues, topLogprobValues] = [new Int32Array(N * top), new Float32Array(N * top)];
    if (top > 0) {
      memory.read(topIds, topIdValues);
      memory.read(topValues, topLogprobValues);
    }
    return sequences.map(({ request }, n) => ({
      id: idValues[n] as number,
      logprob: logprobValues[n] as number,
      top: Array.from({ length: Math.min(top, request.topLogprobs ?? 0) }, (_, k) => ({
        id: topIdValues[n * top + k] as number,
        logprob: topLogprobValues[n * top + k] as number,
      })),
    }));
  }

  #accept(sequence: Sequence, choice: Choice): void {
    const { request, decoder, stop } = sequence;
    sequence.completion++;
    if (request.stopTokens.includes(choice.id)) {
      this.#end(sequence, 'stop');
      return;
    }
    const { text, isStopped } = stop.push(decoder.push(choice.id));
    this.#release(sequence);
    sequence.held = { type: 'token', ...choice, text };
    if (isStopped) {
      this.#release(sequence);
      this.#end(sequence, 'stop');
    } else if (sequence.completion === request.maxTokens) {
      this.#end(sequence, 'length');
    } else {
      if (text !== '') this.#release(sequence);
      sequence.unread = [choice.id];
    }
  }

  #release(sequence: Sequence): void {
    if (sequence.held) sequence.emit(sequence.held);
    sequence.held = undefined;
  }

  #end(sequence: Sequence, reason: 'stop' | 'length' | 'aborted'): void {
    const { held, stop, decoder, request, emit } = sequence;
    // What was held for a stop string that never came, and a character that never became whole.
    if (held) emit({ ...held, text: held.text + stop.push(decoder.end()).text + stop.end() });
    this.#running.splice(this.#running.indexOf(sequence), 1);
    this.#cache.release(sequence.lease);
    emit(finish(reason, request.prompt.length, sequence.completion));
  }
}

function finish(reason: 'stop' | 'length' | 'aborted', promptTokens: number, completionTokens: number): TokenEvent {
  return { type: 'finish', reason, promptTokens, completionTokens };
}
