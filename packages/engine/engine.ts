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
import type { ConstraintRefusal, ConstraintSpec } from './constraints/constraint.ts';
import type { FitOptions } from './fit-model.ts';
import type { FromWorker, ToWorker, WorkerOptions } from './messages.ts';
import type { PageFilesOptions } from './page-files.ts';
import type { Choice, Sampling, TokenLogprob, TopTokens } from './sampler.ts';
import type { RequestEvent } from './sequence.ts';
import type { AdapterInfo } from './served-adapters.ts';
import type { DrafterName, Speculation } from './speculation.ts';
import type { Priority } from './waiting-line.ts';

export interface ModelInfo {
  readonly id: string;
  /** Tokens, prompt and completion together. */
  readonly contextLength: number;
  readonly vocabularySize: number;
  readonly parameters: { readonly total: number; readonly active: number };
  /** Who can guess ahead. */
  readonly drafters: readonly DrafterName[];
  /** How its matrices are stored at run time. */
  readonly dtype: PackedDtype;
}

/** What is generated, and how its tokens are chosen. Random choices are a function of seed and place alone. */
export interface GenerateRequest extends Sampling {
  /** The name of a loaded adapter that answers with the model; absent: the model alone. */
  readonly adapter?: string | undefined;
  /** Token ids; empty is an error. */
  readonly prompt: readonly number[];
  /** At least 1. */
  readonly maxTokens: number;
  readonly seed: number | undefined;
  /** Matched on decoded text; never part of the output. */
  readonly stop: readonly string[];
  readonly stopTokens: readonly number[];
  /** Ends the reasoning that the completion begins with: `endToken` is chosen after `maxTokens` without it. */
  readonly reasoningLimit: { readonly endToken: number; readonly maxTokens: number } | undefined;
  /** Ends the completion so many tokens after `endToken`, which ends the reasoning that it begins with. */
  readonly answerLimit: { readonly endToken: number; readonly maxTokens: number } | undefined;
  /** What the completion must look like; undefined: nothing in particular. Needs stop tokens, which say that it is whole. */
  readonly constraint: ConstraintSpec | undefined;
  /** Whether the prompt's own log-probabilities are wanted, before the first token. */
  readonly promptLogprobs: 'none' | 'all';
  /** How many of the likeliest tokens are wanted at each place of the prompt, up to `maxTopPromptLogprobs`. */
  readonly topPromptLogprobs: number | undefined;
  /** The first token of the prompt of which either is wanted, at least 1: nothing comes before the token at 0. */
  readonly promptLogprobsFrom: number;
  /** Prefixes are shared, and service is divided, between namespaces. */
  readonly namespace: string;
  readonly priority: Priority;
  readonly speculation: Speculation;
  /** What the completion is expected to hold, for the n-gram drafter; empty: nothing is. */
  readonly prediction: readonly number[];
  /** Milliseconds from now after which the generation ends, begun or not; undefined: never. */
  readonly deadlineMs: number | undefined;
  /** The same for one of which nothing has been read yet. */
  readonly startDeadlineMs: number | undefined;
}

/** Everything but the prompt, as a caller who has no wishes would have it: greedy, to the end. */
export const plainRequest: Omit<GenerateRequest, 'prompt' | 'maxTokens'> = {
  ...{ temperature: 0, topP: 1, topK: 0, minP: 0, frequencyPenalty: 0, presencePenalty: 0, logitBias: [] },
  ...{ topLogprobs: undefined, seed: undefined, stop: [], stopTokens: [] },
  ...{ promptLogprobs: 'none', topPromptLogprobs: undefined, promptLogprobsFrom: 1 },
  ...{ reasoningLimit: undefined, answerLimit: undefined, constraint: undefined },
  ...{ namespace: '', priority: 'interactive', deadlineMs: undefined, startDeadlineMs: undefined },
  ...{ speculation: { method: 'none' }, prediction: [] },
};

export const maxTopPromptLogprobs = 256;

/** `deadline`: the time was up. */
export type FinishReason = 'stop' | 'length' | 'aborted' | 'deadline';

export type TokenEvent =
  /** Too many requests wait already: nothing was done, and nothing follows. */
  | { readonly type: 'refused'; readonly waiting: number }
  /** The constraint cannot be enforced, for this reason: nothing was done, and nothing follows. */
  | { readonly type: 'unenforceable'; readonly refusal: ConstraintRefusal }
  /** The request has been understood and waits its turn; first of the events of one that was not refused. */
  | { readonly type: 'accepted' }
  /** Log-probabilities of the prompt's next tokens, in order, from `promptLogprobsFrom` on. */
  | { readonly type: 'prompt'; readonly logprobs: readonly Choice[] }
  /** What was likeliest at the prompt's next tokens, in order: row i where the token at `from` + i stands. */
  | ({ readonly type: 'prompt-top'; readonly from: number } & TopTokens)
  | {
      readonly type: 'token';
      readonly id: number;
      /** Valid UTF-8 increment; '' while a character is incomplete. */
      readonly text: string;
      /** NaN where `topLogprobs` is undefined. */
      readonly logprob: number;
      readonly top: readonly TokenLogprob[];
    }
  | {
      readonly type: 'finish';
      readonly reason: FinishReason;
      /** The request's, if one ended it. */
      readonly stopString: string | undefined;
      /** The stop token that ended it, which is no part of the text; of a request that asked for log-probabilities. */
      readonly stopToken?: TokenLogprob;
      readonly promptTokens: number;
      readonly completionTokens: number;
      /** Of the prompt's tokens, those whose rows were in the cache. */
      readonly cacheHitTokens: number;
      /** Guessed tokens that turned out as guessed, and those that did not. */
      readonly acceptedDraftTokens: number;
      readonly rejectedDraftTokens: number;
      /** How long it waited before anything was done for it; absent where nothing ever was. */
      readonly queuedMs?: number;
    };

/** What an engine has to do at a moment, and room for. */
export interface EngineLoad {
  readonly waiting: number;
  readonly running: number;
  /** Of the cache. */
  readonly pages: number;
  /** Those that no request holds; what they had read may still be in them. */
  readonly availablePages: number;
}

export interface Engine extends AsyncDisposable {
  readonly model: ModelInfo;
  readonly tokenizer: Tokenizer;
  /** Aborting the signal ends the stream with `finish: aborted`; leaving the stream early frees what it held. */
  generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<TokenEvent>;
  /** Rejects when the engine has been closed. */
  load(): Promise<EngineLoad>;
  /**
   * Makes the adapter in `directory`, as PEFT writes one, answer requests that name it. Rejects with one line when the name is in
   * use or the adapter is not one of this model.
   */
  loadAdapter(name: string, directory: string): Promise<AdapterInfo>;
  /** Requests that have begun with it go on to their end; nothing can name it any more. */
  unloadAdapter(name: string): Promise<void>;
}

export interface EngineOptions extends FitOptions {
  readonly checkpoint: Checkpoint;
  /** Threads of arithmetic; as many as there are cores when absent. */
  readonly threads?: number;
  /** Where prefixes are kept from one process to the next; nowhere when absent. */
  readonly prefixes?: PageFilesOptions | undefined;
  /** A smaller model with the same tokenizer, which guesses ahead. */
  readonly drafter?: Checkpoint | undefined;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/**
 * Loads a model in a thread of its own. Rejects with one line when the checkpoint does not hold a model that we can run, or
 * one that does not fit into this machine's memory.
 */
export async function openEngine(options: EngineOptions): Promise<Engine> {
  const { checkpoint, drafter, threads, onProgress, dtype, contextLength, experts, prefixes } = options;
  const fit = { dtype, contextLength, experts };
  const workerData: WorkerOptions = { path: checkpoint.path, threads, fit, prefixes, drafterPath: drafter?.path };
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData });
  const listeners = new Map<number, (event: RequestEvent) => void>();
  const loadListeners: PromiseWithResolvers<EngineLoad>[] = [];
  /** Answered in order. */
  const adapterListeners: PromiseWithResolvers<AdapterInfo | undefined>[] = [];
  const fail = (message: string) => {
    for (const listener of listeners.values()) listener({ type: 'error', message });
    listeners.clear();
    for (const { reject } of [...loadListeners.splice(0), ...adapterListeners.splice(0)]) reject(new Error(message));
    isClosed = true;
  };
  let isClosed = false;
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
      case 'load':
        loadListeners.shift()?.resolve(message.load);
        break;
      case 'adapter':
        adapterListeners.shift()?.resolve(message.adapter);
        break;
      case 'noAdapter':
        adapterListeners.shift()?.reject(new Error(message.message));
        break;
      case 'events':
        for (const [key, event] of message.events) listeners.get(key)?.(event);
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
        isOver = isLast(event);
        if (event.type === 'error') throw new Error(event.message);
        yield event;
      }
    } finally {
      if (!isOver) abort();
      signal?.removeEventListener('abort', abort);
      listeners.delete(key);
    }
  }

  const askAdapter = (message: ToWorker): Promise<AdapterInfo | undefined> => {
    const answer = Promise.withResolvers<AdapterInfo | undefined>();
    if (isClosed) answer.reject(new Error('the engine was closed'));
    else adapterListeners.push(answer);
    worker.postMessage(message);
    return answer.promise;
  };

  return {
    model,
    tokenizer,
    generate,
    loadAdapter: (name, directory) => askAdapter({ type: 'loadAdapter', name, directory }) as Promise<AdapterInfo>,
    async unloadAdapter(name) {
      await askAdapter({ type: 'unloadAdapter', name });
    },
    load() {
      const answer = Promise.withResolvers<EngineLoad>();
      if (isClosed) answer.reject(new Error('the engine was closed'));
      else loadListeners.push(answer);
      worker.postMessage({ type: 'load' } satisfies ToWorker);
      return answer.promise;
    },
    async [Symbol.asyncDispose]() {
      worker.postMessage({ type: 'close' } satisfies ToWorker);
      await exited;
    },
  };
}

function isLast({ type }: RequestEvent): boolean {
  return type === 'finish' || type === 'refused' || type === 'unenforceable' || type === 'error';
}
