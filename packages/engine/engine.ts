// A loaded model that generates text.
//
// Owns the public face of the engine: what a request says and which events answer it. Callers never see a tensor, a
// thread or a cache. Every generation ends in exactly one `finish`, unless it fails.

import { randomInt } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { Checkpoint } from '@hadal/formats/checkpoint';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import type { LoadProgress } from '@hadal/models/language-model';
import type { PackedDtype } from '@hadal/tensor/packed-matrix';
import type { FitOptions } from './fit-model.ts';
import type { FromWorker, ToWorker, WorkerOptions } from './messages.ts';
import type { RequestEvent } from './runner.ts';

export interface ModelInfo {
  readonly id: string;
  /** Tokens, prompt and completion together. */
  readonly contextLength: number;
  readonly vocabularySize: number;
  readonly parameters: { readonly total: number; readonly active: number };
  /** How its matrices are stored at run time. */
  readonly dtype: PackedDtype;
}

export interface GenerateRequest {
  /** Token ids; empty is an error. */
  readonly prompt: readonly number[];
  /** At least 1. */
  readonly maxTokens: number;
  /** 0 is greedy. */
  readonly temperature: number;
  /** The number of likeliest tokens to choose from; undefined: all. Counts before `topP` does. */
  readonly topK: number | undefined;
  readonly topP: number;
  readonly seed: number | undefined;
  /** Matched on decoded text; never part of the output. */
  readonly stop: readonly string[];
  readonly stopTokens: readonly number[];
  /** undefined: no log-probabilities; else 0 to 20. */
  readonly topLogprobs: number | undefined;
}

export type TokenEvent =
  | {
      readonly type: 'token';
      readonly id: number;
      /** Valid UTF-8 increment; '' while a character is incomplete. */
      readonly text: string;
      readonly logprob: number;
      readonly top: readonly { readonly id: number; readonly logprob: number }[];
    }
  | {
      readonly type: 'finish';
      readonly reason: 'stop' | 'length' | 'aborted';
      readonly promptTokens: number;
      readonly completionTokens: number;
    };

export interface Engine extends AsyncDisposable {
  readonly model: ModelInfo;
  readonly tokenizer: Tokenizer;
  /** Aborting the signal ends the stream with `finish: aborted`; leaving the stream early frees what it held. */
  generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<TokenEvent>;
}

export interface EngineOptions extends FitOptions {
  readonly checkpoint: Checkpoint;
  /** Threads of arithmetic; as many as there are cores when absent. */
  readonly threads?: number;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/**
 * Loads a model in a thread of its own. Rejects with one line when the checkpoint does not hold a model that we can run, or
 * one that does not fit into this machine's memory.
 */
export async function openEngine(options: EngineOptions): Promise<Engine> {
  const { checkpoint, threads, onProgress, dtype, contextLength, experts } = options;
  const workerData: WorkerOptions = { path: checkpoint.path, threads, fit: { dtype, contextLength, experts } };
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData });
  const listeners = new Map<number, (event: RequestEvent) => void>();
  const fail = (message: string) => {
    for (const listener of listeners.values()) listener({ type: 'error', message });
    listeners.clear();
  };
  const opened = Promise.withResolvers<Omit<ModelInfo, 'id'>>();
  worker.on('message', (message: FromWorker) => {
    switch (message.type) {
      case 'progress':
        onProgress?.(message.progress);
        break;
      case 'opened':
        opened.resolve(message.model);
        break;
      case 'failed':
        opened.reject(new Error(message.message));
        break;
      case 'event':
        listeners.get(message.key)?.(message.event);
        break;
    }
  });
  // A bug in the worker: every stream that waits on it must hear of it, and so must whoever opens the engine.
  worker.on('error', (error: Error) => {
    opened.reject(error);
    fail(error.message);
  });
  const exited = new Promise<void>((resolve) => {
    worker.on('exit', () => {
      opened.reject(new Error('the engine stopped before its model was loaded'));
      fail('the engine was closed');
      resolve();
    });
  });

  const model = { id: checkpoint.name, ...(await opened.promise) };
  const tokenizer = checkpoint.tokenizer();
  let nextKey = 0;

  async function* generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<TokenEvent> {
    const key = nextKey++;
    const post = (message: ToWorker) => worker.postMessage(message);
    const queue: RequestEvent[] = [];
    let wake = () => {};
    listeners.set(key, (event) => {
      queue.push(event);
      wake();
    });
    const abort = () => post({ type: 'abort', key });
    post({ type: 'generate', key, request, seed: request.seed ?? randomInt(2 ** 32) });
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
    let isOver = false;
    try {
      while (!isOver) {
        const event = queue.shift();
        if (!event) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          continue;
        }
        isOver = event.type !== 'token';
        if (event.type === 'error') throw new Error(event.message);
        yield event;
      }
    } finally {
      if (!isOver) abort();
      signal?.removeEventListener('abort', abort);
      listeners.delete(key);
    }
  }

  return {
    model,
    tokenizer,
    generate,
    async [Symbol.asyncDispose]() {
      worker.postMessage({ type: 'close' } satisfies ToWorker);
      await exited;
    },
  };
}
