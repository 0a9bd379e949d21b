// The provider that runs a model in this process.
//
// Owns what is read of the checkpoint once, and puts together what answers requests with it. Knows nothing about HTTP or
// tensors. The engine and the provider share one lifetime, which is their owner's.

import { randomUUID } from 'node:crypto';
import type { Engine } from '@hadal/engine/engine';
import type { DrafterName } from '@hadal/engine/speculation';
import { chooseDialect } from '@hadal/formats/chat/choose-dialect';
import { type ChatDialect, promptText } from '@hadal/formats/chat/dialect';
import type { Checkpoint } from '@hadal/formats/checkpoint';
import { checkpointFingerprint } from '@hadal/formats/checkpoint-fingerprint';
import { readGenerationDefaults, readStopTokens } from '@hadal/models/generation-config';
import type { ModelCard } from '@hadal/protocol/models';
import { renderChat } from './chat-prompt.ts';
import { answerChat } from './embedded-chat.ts';
import { completeText } from './embedded-completion.ts';
import { GenerationOptions } from './generation-options.ts';
import { PromptEncoder } from './prompt-encoder.ts';
import type { Provider } from './provider.ts';
import { TurnMemory } from './turn-memory.ts';

export interface EmbeddedProviderOptions {
  readonly engine: Engine;
  /** What the engine has loaded. */
  readonly checkpoint: Checkpoint;
  /** Who guesses ahead where a request does not say; where absent, the best that there is. */
  readonly speculation?: DrafterName | 'none' | undefined;
  /**
   * What becomes of a call of a tool that comes back without the reasoning before it: the reasoning is looked up, or else, as on
   * DeepSeek, the request is refused. `recover` when absent.
   */
  readonly missingReasoning?: 'recover' | 'refuse' | undefined;
  /** How long a request may wait before anything is done for it; DeepSeek's ten minutes when absent. */
  readonly startTimeoutMs?: number | undefined;
  /** A new name, for the ids of tool calls. */
  readonly newId?: () => string;
}

/** A provider that also says how its model is talked to, for those who talk to the engine themselves. */
export interface EmbeddedProvider extends Provider {
  readonly dialect: ChatDialect;
  /** Ids after which an answer is over. */
  readonly stopTokens: readonly number[];
}

/** Serves `engine` under its model's id, in the checkpoint's dialect and with the sampling that it recommends. */
export async function openEmbeddedProvider(given: EmbeddedProviderOptions): Promise<EmbeddedProvider> {
  const {
    engine,
    checkpoint,
    speculation,
    missingReasoning = 'recover',
    startTimeoutMs = 600_000,
    newId = () => randomUUID(),
  } = given;
  const { tokenizer } = engine;
  const { contextLength, id } = engine.model;
  const dialect = chooseDialect({ config: checkpoint.config(), template: checkpoint.chatTemplate(), tokenizer });
  const defaults = readGenerationDefaults(checkpoint);
  const stopTokens = readStopTokens(checkpoint, dialect, tokenizer);
  const encoder = new PromptEncoder(engine, dialect);
  const options = new GenerationOptions({ engine, encoder, defaults, stopTokens, speculation, startTimeoutMs });
  const memory = new TurnMemory();
  const model: ModelCard = {
    id,
    name: id,
    ownedBy: 'hadal',
    contextWindow: contextLength,
    maxOutputTokens: contextLength,
    maxReasoningTokens: 32_768,
    profile: 'current',
    thinking: 'high',
    sampling: { temperature: defaults.temperature, topP: defaults.topP },
  };
  return {
    ...{ model, dialect, stopTokens, fingerprint: await checkpointFingerprint(checkpoint) },
    chat: (request, signal) =>
      answerChat({ engine, dialect, encoder, options, memory, missingReasoning, newId }, request, signal),
    complete: (request, signal) => completeText({ engine, encoder, options }, request, signal),
    tokenize: (input) => encoder.encode(typeof input === 'string' ? input : promptText(renderChat(input, dialect)), 0),
    detokenize(tokens) {
      encoder.checkIds(tokens, 'tokens');
      return tokenizer.decode(tokens);
    },
    load: () => engine.load(),
  };
}
