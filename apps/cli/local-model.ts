// A model opened in this process.
//
// Owns the engine and the provider in front of it as one thing to open and close. Of terminals it knows that somebody may want to
// see how far loading is.

import { type Engine, type EngineOptions, openEngine } from '@hadal/engine/engine';
import type { FitOptions } from '@hadal/engine/fit-model';
import { openCheckpoint } from '@hadal/formats/checkpoint';
import {
  type EmbeddedProvider,
  type EmbeddedProviderOptions,
  openEmbeddedProvider,
} from '@hadal/server/embedded-provider';
import type { AnswerSource } from './answer-source.ts';
import { ownCheckpoint } from './own-checkpoint.ts';
import { openProgressBar } from './progress-bar.ts';
import { countInWords } from './quantities.ts';
import type { Terminal } from './terminal.ts';

export interface LocalModelOptions extends FitOptions {
  /** Of a checkpoint; the repository's own where undefined. */
  readonly path: string | undefined;
  /** undefined: as many as the machine has. */
  readonly threads: number | undefined;
  /** Where prefixes are kept from one process to the next; undefined: nowhere. */
  readonly prefixes?: EngineOptions['prefixes'];
  /** Path of a smaller checkpoint that guesses ahead; undefined: there is none. */
  readonly draftModel?: string | undefined;
  /** Who guesses ahead where a request does not say; undefined: the best that there is. */
  readonly speculation?: EmbeddedProviderOptions['speculation'];
  readonly missingReasoning?: EmbeddedProviderOptions['missingReasoning'];
  readonly startTimeoutMs?: EmbeddedProviderOptions['startTimeoutMs'];
}

export interface LocalModel extends AnswerSource {
  readonly engine: Engine;
  readonly provider: EmbeddedProvider;
}

/** Loads the checkpoint. Throws an Error of one line when it is missing or broken. */
export async function openLocalModel(options: LocalModelOptions, terminal: Terminal): Promise<LocalModel> {
  const {
    path = ownCheckpoint(),
    threads,
    draftModel,
    speculation,
    missingReasoning,
    startTimeoutMs,
    ...rest
  } = options;
  const checkpoint = await openCheckpoint(path);
  const drafter = draftModel === undefined ? undefined : await openCheckpoint(draftModel);
  const engine = await loadEngine(
    { checkpoint, drafter, ...rest, ...(threads !== undefined && { threads }) },
    terminal,
  );
  try {
    const provider = await openEmbeddedProvider({ engine, checkpoint, speculation, missingReasoning, startTimeoutMs });
    const { sampling, maxOutputTokens, contextWindow } = provider.model;
    return {
      engine,
      provider,
      model: provider.model.id,
      description: `${provider.model.id} (${countInWords(engine.model.parameters.total)} parameters, ${engine.model.dtype})`,
      answer: (messages, { thinking, temperature, topP, maxTokens, seed }, signal) =>
        provider.chat(
          {
            model: provider.model.id,
            messages,
            thinking,
            maxTokens:
              maxTokens === undefined
                ? { type: 'default', tokens: maxOutputTokens }
                : { type: 'asked', tokens: maxTokens },
            maxReasoning: undefined,
            temperature: temperature ?? sampling.temperature,
            topP: topP ?? sampling.topP,
            ...{ topK: 0, minP: 0, frequencyPenalty: 0, presencePenalty: 0, logitBias: [] },
            seed,
            stop: [],
            responseFormat: { type: 'text' },
            tools: [],
            toolChoice: { type: 'none' },
            topLogprobs: undefined,
            ...{ speculation: { method: 'default' }, prediction: '', priority: 'interactive' },
            ...{ userId: '', contextWindow },
            places: { messages: 'messages', format: 'response_format', tools: [], schema: 'parameters' },
          },
          signal,
        ),
      [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
    };
  } catch (error) {
    await engine[Symbol.asyncDispose]();
    throw error;
  }
}

async function loadEngine(options: EngineOptions, terminal: Terminal): Promise<Engine> {
  using bar = openProgressBar(`loading ${options.checkpoint.name}`, terminal);
  return await openEngine({ ...options, onProgress: bar.show });
}
