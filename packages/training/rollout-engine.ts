// An engine over weights that are being trained.
//
// Owns a runner in this thread and the packed copies of weights that it reads; `refresh` brings them up to the weights of the moment.
// To its callers it is an engine like any other. Invariant: it computes attention in the trainer's form and products with the
// trainer's bits, so that a token's log-probability when sampled is the one that the trainer finds for it.

import { setImmediate } from 'node:timers/promises';
import type { Engine, EngineLoad, GenerateRequest, ModelInfo, TokenEvent } from '@hadal/engine/engine';
import { Runner } from '@hadal/engine/runner';
import type { RequestEvent } from '@hadal/engine/sequence';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import type { Device } from '@hadal/kernels/device';
import type { AdapterSet } from '@hadal/models/adapters/adapter-set';
import { countParameters, type ModelDefinition } from '@hadal/models/architecture';
import type { LanguageModel } from '@hadal/models/language-model';
import { PackedParameters } from '@hadal/models/packed-parameters';
import { ParameterSet } from '@hadal/models/parameter-set';

/** Answers that are sampled at a time, and bytes of their keys and values, where nobody says. */
export const usualRolloutLimits = { maxRunning: 256, cacheBytes: 2 ** 30 } as const;

export interface RolloutEngineOptions {
  readonly device: Device;
  readonly definition: ModelDefinition;
  /** The trainer's; they outlive the engine. */
  readonly parameters: ParameterSet | AdapterSet;
  readonly tokenizer: Tokenizer;
  /** Tokens of a prompt and its answer at most. */
  readonly contextLength: number;
  /** Answers that are sampled at a time. */
  readonly maxRunning?: number;
  readonly cacheBytes?: number;
}

export class RolloutEngine implements Engine {
  readonly model: ModelInfo;
  readonly tokenizer: Tokenizer;
  /** Of all weights; an adapter is read where it lies. */
  readonly #packed: PackedParameters | undefined;
  readonly #runner: Runner;
  #version = 0;
  #nextKey = 0;
  #running: Promise<void> | undefined;

  constructor({ device, definition, parameters, tokenizer, contextLength, ...limits }: RolloutEngineOptions) {
    const { maxRunning, cacheBytes } = { ...usualRolloutLimits, ...limits };
    const [form] = definition.forms;
    const { vocabularySize } = definition;
    this.tokenizer = tokenizer;
    this.#packed = parameters instanceof ParameterSet ? new PackedParameters(device, parameters) : undefined;
    const options = { form, positions: contextLength, predictor: 'absent' } as const;
    const network = definition.assemble(this.#packed ?? parameters, options);
    const model: LanguageModel = {
      ...{ contextLength, vocabularySize, parameters: countParameters(definition), form, dtype: 'f32' },
      ...{ cache: definition.cacheLayout(form, 'f32'), head: network.head, predictor: undefined, adapters: undefined },
      forward: network.forward,
      [Symbol.dispose]() {},
    };
    this.model = {
      ...{ id: 'policy', contextLength, vocabularySize, parameters: model.parameters, drafters: [], dtype: 'f32' },
    };
    this.#runner = new Runner(device, model, tokenizer, { cacheBytes, maxRunning, maxWaiting: Infinity });
    this.#packed?.refresh();
  }

  /** Takes the parameters as they are now. Nothing may be under way. */
  refresh(): void {
    if (this.#runner.hasWork) throw new Error('refresh: expected an engine at rest, answers are under way');
    this.#packed?.refresh();
    this.#version++;
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<TokenEvent> {
    const key = this.#nextKey++;
    const queue: RequestEvent[] = [];
    let wake = () => {};
    const seed = request.seed ?? key;
    // What was read with other weights is no prefix of this.
    const namespace = `${this.#version}\n${request.namespace}`;
    this.#runner.add(key, { ...request, namespace }, seed, (event) => {
      queue.push(event);
      wake();
    });
    this.#running ??= this.#run();
    const abort = () => this.#runner.abort(key);
    signal?.addEventListener('abort', abort, { once: true });
    let isOver = false;
    try {
      while (!isOver) {
        const event = queue.shift();
        if (event === undefined) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          continue;
        }
        if (event.type === 'error') throw new Error(event.message);
        isOver = event.type === 'finish' || event.type === 'refused' || event.type === 'unenforceable';
        yield event;
      }
    } finally {
      signal?.removeEventListener('abort', abort);
      if (!isOver) abort();
    }
  }

  async load(): Promise<EngineLoad> {
    return this.#runner.load;
  }

  async loadAdapter(): Promise<never> {
    throw new Error('an engine over weights in training serves no adapters beside them');
  }

  async unloadAdapter(): Promise<void> {}

  [Symbol.dispose](): void {
    this.#runner[Symbol.dispose]();
    this.#packed?.[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running;
    this[Symbol.dispose]();
  }

  /** Step after step while there is work, listening in between. */
  async #run(): Promise<void> {
    // Whoever asks in the same turn shares the first step.
    await setImmediate();
    while (this.#runner.hasWork) {
      this.#runner.step();
      await setImmediate();
    }
    this.#running = undefined;
  }
}
