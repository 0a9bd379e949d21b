// The provider that runs a model in this process.
//
// Owns the way from messages to tokens and back: it renders the prompt, sees that prompt and answer fit into the context,
// and reads the engine's tokens as an answer. Knows nothing about HTTP or tensors. The engine and the provider share one
// lifetime, which is their owner's.

import { randomUUID } from 'node:crypto';
import type { Engine, GenerateRequest } from '@hadal/engine/engine';
import type { Sampling } from '@hadal/engine/sampler';
import type { DrafterName } from '@hadal/engine/speculation';
import { chooseDialect } from '@hadal/formats/chat/choose-dialect';
import { type ChatDialect, type ChatPrompt, promptText } from '@hadal/formats/chat/dialect';
import { type ToolSchema, withTools } from '@hadal/formats/chat/message';
import type { Checkpoint } from '@hadal/formats/checkpoint';
import { checkpointFingerprint } from '@hadal/formats/checkpoint-fingerprint';
import { thinkEnd } from '@hadal/formats/special-tokens';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import type { ChatEvent } from '@hadal/protocol/chat-event';
import type { ChatRequest, FunctionTool } from '@hadal/protocol/chat-request';
import type { ModelCard } from '@hadal/protocol/models';
import { requestError } from '@hadal/protocol/request-error';
import { answerConstraint, unenforceable } from './answer-constraint.ts';
import { AnswerReader } from './answer-reader.ts';
import { readGenerationDefaults, readStopTokens } from './checkpoint-files.ts';
import type { Provider } from './provider.ts';

export interface EmbeddedProviderOptions {
  readonly engine: Engine;
  /** What the engine has loaded. */
  readonly checkpoint: Checkpoint;
  /** Who guesses ahead where a request does not say; where absent, the best that there is. */
  readonly speculation?: DrafterName | 'none' | undefined;
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
export async function openEmbeddedProvider(options: EmbeddedProviderOptions): Promise<EmbeddedProvider> {
  const { engine, checkpoint, speculation: usual, newId = () => randomUUID() } = options;
  const { tokenizer } = engine;
  const { contextLength, id } = engine.model;
  const dialect = chooseDialect({ config: checkpoint.config(), template: checkpoint.chatTemplate(), tokenizer });
  const defaults = readGenerationDefaults(checkpoint);
  const stopTokens = readStopTokens(checkpoint, dialect, tokenizer);
  const longestToken = longestTokenBytes(tokenizer);
  const { drafters } = engine.model;
  if (usual !== undefined && usual !== 'none' && !drafters.includes(usual)) {
    throw new Error(
      `${checkpoint.path}: expected a drafter among ${drafters.join(', ') || 'none'} for this model, got ${usual}`,
    );
  }
  const model: ModelCard = {
    id,
    name: id,
    ownedBy: 'hadal',
    contextWindow: contextLength,
    maxOutputTokens: contextLength,
    sampling: { temperature: defaults.temperature, topP: defaults.topP },
  };

  function encode(prompt: string, completion: number): number[] {
    // What cannot fit even in the longest tokens need not be encoded, which could take minutes.
    const atLeast = Math.ceil(prompt.length / longestToken);
    const tokens = atLeast > contextLength ? undefined : tokenizer.encode(prompt);
    const count = tokens?.length ?? atLeast;
    if (tokens === undefined || count + completion > contextLength) {
      throw requestError('context-exceeded', { limit: contextLength, prompt: count, completion });
    }
    return tokens;
  }

  async function* chat(request: ChatRequest, signal: AbortSignal): AsyncGenerator<ChatEvent, void, void> {
    const { maxTokens } = request;
    const rendered = render(request, dialect);
    const constraint = answerConstraint(request, dialect, rendered.beginning);
    const prefill = forcedCall(request, dialect);
    const prompt = encode(promptText(rendered) + prefill, maxTokens.type === 'asked' ? maxTokens.tokens : 1);
    const limit = Math.min(maxTokens.tokens, contextLength - prompt.length);
    checkBias(request.logitBias);
    await using generation = engine.generate(
      {
        prompt,
        maxTokens: limit,
        ...samplingOf(request, defaults.topK),
        seed: request.seed,
        stop: request.stop,
        stopTokens,
        reasoningLimit: rendered.beginning === 'reasoning' ? reasoningLimit(request.thinking, limit) : undefined,
        constraint,
        promptLogprobs: 'none',
        namespace: request.userId,
        priority: request.priority,
        deadlineMs: undefined,
        speculation: speculationOf(request.speculation),
        prediction: request.prediction === '' ? [] : tokenizer.encode(request.prediction),
      },
      signal,
    );
    const first = await generation.next();
    if (first.value?.type === 'refused') throw requestError('queue-full', { waiting: first.value.waiting });
    if (first.value?.type === 'unenforceable') throw unenforceable(first.value.refusal, request);
    yield { type: 'start' };

    const reader = new AnswerReader({
      tokenizer,
      parser: dialect.openParser(rendered.beginning),
      hasLogprobs: request.topLogprobs !== undefined,
      newCallId: (index) => `call_${String(index).padStart(2, '0')}_${newId().replaceAll('-', '').slice(0, 24)}`,
    });
    yield* reader.prefill(prefill);
    for await (const event of generation) {
      if (event.type === 'token') yield* reader.token(event);
      else if (event.type === 'finish') yield* reader.finish(event);
    }
  }

  function checkBias(biases: ChatRequest['logitBias']): void {
    const { vocabularySize } = engine.model;
    const foreign = biases.find(([id]) => id >= vocabularySize);
    if (foreign === undefined) return;
    const problem = `expected token ids below ${vocabularySize}, got ${foreign[0]}`;
    throw requestError('invalid-field', { field: 'logit_bias', problem });
  }

  /** With low effort, reasoning takes a share of the answer's tokens at most; as on DeepSeek there is no other limit to it. */
  function reasoningLimit(thinking: ChatRequest['thinking'], tokens: number): GenerateRequest['reasoningLimit'] {
    const endToken = tokenizer.tokenId(thinkEnd);
    if (thinking !== 'low' || endToken === undefined) return undefined;
    return { endToken, maxTokens: Math.max(1, Math.floor(tokens * lowEffortShare)) };
  }

  function speculationOf(speculation: ChatRequest['speculation']): GenerateRequest['speculation'] {
    switch (speculation.method) {
      case 'none':
        return { method: 'none' };
      case 'default': {
        // A model that was brought along for it, or else the module that the model was trained with.
        const method = usual ?? (['draft', 'mtp'] as const).find((name) => drafters.includes(name)) ?? 'none';
        return method === 'none' ? { method } : { method, draftTokens: 'adaptive' };
      }
      default:
        if (drafters.includes(speculation.method)) return speculation;
        throw requestError('invalid-field', {
          field: 'speculative.method',
          problem: `this model has ${drafters.join(', ') || 'no drafter'}, got "${speculation.method}"`,
        });
    }
  }

  return { model, dialect, stopTokens, fingerprint: await checkpointFingerprint(checkpoint), chat };
}

/** Of the tokens that an answer may have, the share that reasoning may take when little is asked for. */
const lowEffortShare = 0.25;

function samplingOf(request: ChatRequest, advisedTopK: number | undefined): Sampling {
  const { temperature, topP, minP, frequencyPenalty, presencePenalty, logitBias, topLogprobs } = request;
  const topK = request.topK > 0 ? request.topK : (advisedTopK ?? 0);
  return { temperature, topP, topK, minP, frequencyPenalty, presencePenalty, logitBias, topLogprobs };
}

/** The prompt. With tool_choice none, the tools stay out of it, as on DeepSeek. */
function render(request: ChatRequest, dialect: ChatDialect): ChatPrompt {
  const { messages, responseFormat, thinking, tools, toolChoice } = request;
  const offered = toolChoice.type === 'none' ? [] : tools.map(toolSchemaOf);
  if (offered.length > 0 && dialect.calls.type === 'none') {
    throw requestError('invalid-field', { field: 'tools', problem: 'this model was not taught to call tools' });
  }
  // A schema is shown to the model too: held to one that it does not know, it would fill it with anything.
  const schema = responseFormat.type === 'json-schema' ? responseFormat.schema : undefined;
  return dialect.prompt(withTools(messages, [], schema), {
    thinking: thinking !== 'off',
    ...(thinking !== 'off' && { effort: thinking }),
    tools: offered,
  });
}

/** The beginning of an answer that must call a tool, where the form of calls is not enforced otherwise. */
function forcedCall({ thinking, toolChoice }: ChatRequest, { calls }: ChatDialect): string {
  if (calls.type !== 'opened' || toolChoice.type === 'none' || toolChoice.type === 'auto') return '';
  // Reasoning comes first, and nobody knows for how long.
  if (thinking !== 'off') throw requestError('forced-tool-while-thinking');
  return calls.opening(toolChoice.type === 'function' ? toolChoice.name : undefined);
}

function toolSchemaOf({ name, description, parameters }: FunctionTool): ToolSchema {
  return {
    name,
    ...(description !== undefined && { description }),
    ...(parameters !== undefined && { parameters }),
  };
}

function longestTokenBytes(tokenizer: Tokenizer): number {
  let longest = 1;
  for (let id = 0; id < tokenizer.vocabularySize; id++) longest = Math.max(longest, tokenizer.bytes(id).length);
  return longest;
}
