// A model that says what a test tells it to.
//
// Owns an `Engine` whose every answer is a script: a text for a prompt. Its tokenizer is real if small (special tokens and
// single bytes), so prompts, limits and counts are those of any other model; constraints are compiled, to be refused as by any
// other, and then do not bind it. Never used outside tests.

import { ConstraintCache } from '@hadal/engine/constraints/constraint-cache';
import { makeVocabulary } from '@hadal/engine/constraints/vocabulary';
import type { Engine, GenerateRequest, TokenEvent } from '@hadal/engine/engine';
import { endOfSentence, specialTokens } from '@hadal/formats/special-tokens';
import type { Tokenizer } from '@hadal/formats/tokenizer';

export interface ToyEngineOptions {
  readonly contextLength?: number;
  /** Requests that are let in; those after them find the queue full. */
  readonly capacity?: number;
  /**
   * What to generate, in the pieces that arrive together; the end of sentence is added. May wait, and may throw. Pieces
   * are tokenized one by one.
   */
  readonly script: (prompt: string, request: GenerateRequest) => AsyncIterable<string> | Iterable<string>;
}

export interface ToyEngine extends Engine {
  /** What was asked so far, oldest first. */
  readonly requests: GenerateRequest[];
  readonly stats: { running: number; generatedTokens: number; aborted: number };
}

export function openToyEngine({ contextLength = 4096, capacity = Infinity, script }: ToyEngineOptions): ToyEngine {
  const tokenizer = openByteTokenizer();
  const requests: GenerateRequest[] = [];
  let constraints: ConstraintCache | undefined;
  const stats = { running: 0, generatedTokens: 0, aborted: 0 };

  async function* generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<TokenEvent> {
    const { prompt, maxTokens, stopTokens, topLogprobs, promptLogprobs, startDeadlineMs, constraint } = request;
    requests.push(request);
    if (requests.length > capacity) return yield { type: 'refused', waiting: capacity };
    if (constraint !== undefined) {
      constraints ??= new ConstraintCache(makeVocabulary({ tokenizer, stopTokens }));
      const compiled = constraints.compile(constraint);
      if (compiled.type === 'refused') return yield { type: 'unenforceable', refusal: compiled };
    }
    yield { type: 'accepted' };
    stats.running++;
    if (promptLogprobs === 'all') {
      yield {
        type: 'prompt',
        logprobs: prompt.slice(1).map((id) => ({ id, logprob: -0.5, top: [{ id, logprob: -0.5 }] })),
      };
    }
    const decoder = tokenizer.decoder();
    let completionTokens = 0;
    const finish = (reason: 'stop' | 'length' | 'aborted' | 'deadline'): TokenEvent => {
      if (reason === 'aborted') stats.aborted++;
      const counts = { promptTokens: prompt.length, completionTokens, cacheHitTokens: 0 };
      return {
        type: 'finish',
        reason,
        stopString: undefined,
        ...counts,
        acceptedDraftTokens: 0,
        rejectedDraftTokens: 0,
        ...(completionTokens > 0 && { queuedMs: 0 }),
      };
    };
    const aborted = Promise.withResolvers<'aborted'>();
    signal?.addEventListener('abort', () => aborted.resolve('aborted'), { once: true });
    if (signal?.aborted) aborted.resolve('aborted');
    // It has begun when it says something.
    const late = Promise.withResolvers<'late'>();
    const timer = startDeadlineMs === undefined ? undefined : setTimeout(late.resolve, startDeadlineMs, 'late');
    try {
      const pieces = withEnd(script(tokenizer.decode(prompt), request));
      for (;;) {
        const next = await Promise.race([pieces.next(), aborted.promise, late.promise]);
        if (next === 'aborted') return yield finish('aborted');
        if (next === 'late') return yield finish('deadline');
        clearTimeout(timer);
        for (const id of tokenizer.encode(next.value ?? '')) {
          completionTokens++;
          stats.generatedTokens++;
          if (stopTokens.includes(id)) return yield finish('stop');
          const top = Array.from({ length: topLogprobs ?? 0 }, (_, rank) => ({ id: id + rank, logprob: -rank / 2 }));
          yield { type: 'token', id, text: decoder.push(id), logprob: -0.25, top };
          if (completionTokens === maxTokens) return yield finish('length');
          if (signal?.aborted) return yield finish('aborted');
        }
      }
    } finally {
      clearTimeout(timer);
      stats.running--;
    }
  }

  return {
    model: {
      id: 'toy',
      contextLength,
      vocabularySize: tokenizer.vocabularySize,
      dtype: 'f32',
      parameters: { total: 1, active: 1 },
      drafters: ['ngram'],
    },
    tokenizer,
    requests,
    stats,
    generate,
    load: async () => ({ waiting: 0, running: stats.running, pages: 0, availablePages: 0 }),
    loadAdapter: () => Promise.reject(new Error('the toy takes no adapters')),
    unloadAdapter: () => Promise.reject(new Error('the toy takes no adapters')),
    async [Symbol.asyncDispose]() {},
  };
}

/** The special tokens, then the 256 bytes. */
export function openByteTokenizer(): Tokenizer {
  const firstByte = specialTokens.length;
  const utf8 = new TextEncoder();
  const ids = new Map(specialTokens.map((token, id) => [token, id]));
  const anySpecial = new RegExp(`(${specialTokens.map((token) => RegExp.escape(token)).join('|')})`);
  const bytes = (id: number) =>
    id < firstByte ? utf8.encode(specialTokens[id]) : Uint8Array.of(Math.min(id - firstByte, 255));
  return {
    vocabularySize: firstByte + 256,
    encode: (text) =>
      text.split(anySpecial).flatMap((part) => ids.get(part) ?? Array.from(utf8.encode(part), (b) => firstByte + b)),
    decode: (sequence) => new TextDecoder().decode(Buffer.concat(Array.from(sequence, bytes))),
    addedIds: new Set(ids.values()),
    tokenId: (token) => ids.get(token),
    bytes,
    decoder() {
      const decoder = new TextDecoder();
      return { push: (id) => decoder.decode(bytes(id), { stream: true }), end: () => decoder.decode() };
    },
  };
}

async function* withEnd(pieces: AsyncIterable<string> | Iterable<string>): AsyncGenerator<string, string, void> {
  yield* pieces;
  return endOfSentence;
}
