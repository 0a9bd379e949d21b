// A model opened in this process.
//
// Owns the engine and the provider in front of it as one thing to open and close, and which checkpoint is meant when none
// is named. Knows nothing about terminals or HTTP.

import { join, relative } from 'node:path';
import { type Engine, openEngine } from '@hadal/engine/engine';
import { openCheckpoint } from '@hadal/formats/checkpoint';
import { type EmbeddedProvider, openEmbeddedProvider } from '@hadal/server/embedded-provider';
import type { AnswerSource } from './answer-source.ts';

export interface LocalModelOptions {
  /** Of a checkpoint; the repository's own where undefined. */
  readonly path: string | undefined;
  /** undefined: as many as the machine has. */
  readonly threads: number | undefined;
}

export interface LocalModel extends AnswerSource {
  readonly engine: Engine;
  readonly provider: EmbeddedProvider;
}

/** Loads the checkpoint. Throws an Error of one line when it is missing or broken. */
export async function openLocalModel(options: LocalModelOptions): Promise<LocalModel> {
  const { path = ownCheckpoint(), threads } = options;
  const checkpoint = await openCheckpoint(path);
  const engine = await openEngine({ checkpoint, ...(threads !== undefined && { threads }) });
  try {
    const provider = await openEmbeddedProvider({ engine, checkpoint });
    const { sampling, maxOutputTokens } = provider.model;
    return {
      engine,
      provider,
      model: provider.model.id,
      description: `${provider.model.id} (${inMillions(engine.model.parameters.total)} parameters)`,
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
            temperature: temperature ?? sampling.temperature,
            topP: topP ?? sampling.topP,
            ...{ topK: 0, minP: 0, frequencyPenalty: 0, presencePenalty: 0, logitBias: [] },
            seed,
            stop: [],
            responseFormat: 'text',
            tools: [],
            toolChoice: { type: 'none' },
            topLogprobs: undefined,
            ...{ speculation: { method: 'default' }, prediction: '', priority: 'interactive' },
            userId: '',
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

function ownCheckpoint(): string {
  return relative(process.cwd(), join(import.meta.dirname, '../../models/hadal-nano'));
}

/** 8_234_567 as `8.2 million`. */
function inMillions(count: number): string {
  return `${(count / 1e6).toLocaleString('en', { maximumFractionDigits: count < 1e7 ? 1 : 0 })} million`;
}
