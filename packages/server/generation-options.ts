// How the engine is to answer, in its own terms.
//
// Owns the translation of everything a request says beside its prompt: sampling, with the publisher's advice, guessing ahead,
// scheduling, and how long an answer may reason. Knows nothing of what is said.

import type { ConstraintRefusal } from '@hadal/engine/constraints/constraint';
import type { Engine, GenerateRequest, TokenEvent } from '@hadal/engine/engine';
import type { DrafterName, Speculation } from '@hadal/engine/speculation';
import { thinkEnd } from '@hadal/formats/special-tokens';
import type { GenerationDefaults } from '@hadal/models/generation-config';
import type { ChatRequest, SamplingRequest } from '@hadal/protocol/chat-request';
import { requestError } from '@hadal/protocol/request-error';
import type { PromptEncoder } from './prompt-encoder.ts';

/** What `GenerationOptions.of` says of a generation. */
type Options = Omit<
  GenerateRequest,
  'prompt' | 'maxTokens' | 'constraint' | 'promptLogprobs' | 'prediction' | keyof AnswerLimits
>;

/** How long a completion may reason, and speak after it. */
export type AnswerLimits = Pick<GenerateRequest, 'reasoningLimit' | 'answerLimit'>;

export const noLimits: AnswerLimits = { reasoningLimit: undefined, answerLimit: undefined };

/** Of the tokens that an answer may have, the share that reasoning may take when little is asked for. */
const lowEffortShare = 0.25;

export interface GenerationOptionsSource {
  readonly engine: Engine;
  readonly encoder: PromptEncoder;
  readonly defaults: GenerationDefaults;
  readonly stopTokens: readonly number[];
  /** Who guesses ahead where a request does not say; undefined: the best that there is. */
  readonly speculation: DrafterName | 'none' | undefined;
  /** How long a request may wait before anything is done for it. */
  readonly startTimeoutMs: number;
}

export class GenerationOptions {
  readonly #source: GenerationOptionsSource;

  /** Throws one line where the model has no such drafter. */
  constructor(source: GenerationOptionsSource) {
    const { engine, speculation } = source;
    const { drafters, id } = engine.model;
    if (speculation !== undefined && speculation !== 'none' && !drafters.includes(speculation)) {
      const has = drafters.join(', ') || 'none';
      throw new Error(`${id}: expected a drafter among ${has} for this model, got ${speculation}`);
    }
    this.#source = source;
  }

  of(request: SamplingRequest & Pick<ChatRequest, 'topLogprobs'>): Options {
    const { defaults, encoder, stopTokens, startTimeoutMs } = this.#source;
    encoder.checkIds(
      request.logitBias.map(([id]) => id),
      'logit_bias',
    );
    const { temperature, topP, topK, minP, frequencyPenalty, presencePenalty, logitBias, topLogprobs } = request;
    return {
      ...{ temperature, topP, minP, frequencyPenalty, presencePenalty, logitBias, topLogprobs },
      topK: topK > 0 ? topK : (defaults.topK ?? 0),
      seed: request.seed,
      stop: request.stop,
      stopTokens,
      namespace: request.userId,
      priority: request.priority,
      deadlineMs: undefined,
      ...{ topPromptLogprobs: undefined, promptLogprobsFrom: 1 },
      // A batch is there to wait.
      startDeadlineMs: request.priority === 'batch' ? undefined : startTimeoutMs,
      speculation: this.#speculation(request.speculation),
    };
  }

  /**
   * The limits of an answer of `tokens` that begins with reasoning. With low effort reasoning takes a share of them at most; as
   * on DeepSeek there is no other limit to it, but on R1 it had one of its own.
   */
  limits({ thinking, maxReasoning, maxTokens }: ChatRequest, tokens: number): AnswerLimits {
    const endToken = this.#source.engine.tokenizer.tokenId(thinkEnd);
    if (endToken === undefined) return noLimits;
    if (maxReasoning !== undefined) {
      const answerLimit = { endToken, maxTokens: maxTokens.tokens };
      return { reasoningLimit: { endToken, maxTokens: maxReasoning }, answerLimit };
    }
    if (thinking !== 'low') return noLimits;
    const share = Math.max(1, Math.floor(tokens * lowEffortShare));
    return { reasoningLimit: { endToken, maxTokens: share }, answerLimit: undefined };
  }

  #speculation(asked: SamplingRequest['speculation']): Speculation {
    const { engine, speculation: usual } = this.#source;
    const { drafters } = engine.model;
    switch (asked.method) {
      case 'none':
        return { method: 'none' };
      case 'default': {
        // A model that was brought along for it, or else the module that the model was trained with.
        const method = usual ?? (['draft', 'mtp'] as const).find((name) => drafters.includes(name)) ?? 'none';
        return method === 'none' ? { method } : { method, draftTokens: 'adaptive' };
      }
      default:
        if (drafters.includes(asked.method)) return asked;
        throw requestError('invalid-field', {
          field: 'speculative.method',
          problem: `this model has ${drafters.join(', ') || 'no drafter'}, got "${asked.method}"`,
        });
    }
  }
}

/** Waits until the engine has taken the request. Throws the error that tells its caller why it has not. */
export async function admitted(
  generation: AsyncGenerator<TokenEvent>,
  unenforceable: (refusal: ConstraintRefusal) => Error,
): Promise<void> {
  const { value } = await generation.next();
  if (value?.type === 'refused') throw requestError('queue-full', { waiting: value.waiting });
  if (value?.type === 'unenforceable') throw unenforceable(value.refusal);
}
