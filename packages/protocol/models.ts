// What callers can learn about a model.
//
// Owns the card of a model (names, limits, defaults) and its wire form on `GET /models`. Knows nothing about how the
// model is run. `contextWindow` counts prompt and completion together.

import { anthropicList } from './list-page.ts';
import { requestError } from './request-error.ts';

export interface ModelCard {
  /** The name callers pass as `model`. */
  readonly id: string;
  /** The name people read. */
  readonly name: string;
  readonly ownedBy: string;
  /** Tokens, prompt and completion together. */
  readonly contextWindow: number;
  readonly maxOutputTokens: number;
  /** Tokens of reasoning beside those of the answer, by R1's rules. */
  readonly maxReasoningTokens: number;
  /** Whose rules hold for it: today's, or those that DeepSeek-R1 was served with. */
  readonly profile: 'current' | 'r1';
  /** Whether it thinks where the caller does not say. */
  readonly thinking: 'off' | 'high';
  /** What the model samples with when the caller does not say; its publisher's recommendation. */
  readonly sampling: { readonly temperature: number; readonly topP: number };
}

/** The card that a caller names. Throws `RequestError`, with the names there are. */
export function cardNamed(cards: readonly ModelCard[], name: string): ModelCard {
  const card = cards.find(({ id }) => id === name);
  if (card === undefined) throw requestError('unknown-model', { supported: cards.map(({ id }) => id), passed: name });
  return card;
}

/** One entry of `GET /models`. DeepSeek gives no `created`, so neither do we. */
export interface WireModel {
  readonly id: string;
  readonly object: 'model';
  readonly owned_by: string;
  readonly name: string;
  readonly context_window: number;
  readonly max_output_tokens: number;
  readonly input_modalities: readonly string[];
  readonly output_modalities: readonly string[];
  readonly effort: { readonly supported_levels: readonly string[]; readonly default_level: string };
  readonly api_capabilities: { readonly anthropic_messages: { readonly system_prompt_update: 'leading-only' } };
}

export function wireModel(card: ModelCard): WireModel {
  return {
    id: card.id,
    object: 'model',
    owned_by: card.ownedBy,
    name: card.name,
    context_window: card.contextWindow,
    max_output_tokens: card.maxOutputTokens,
    input_modalities: ['text'],
    output_modalities: ['text'],
    effort: { supported_levels: ['low', 'high', 'max'], default_level: card.thinking === 'off' ? 'none' : 'high' },
    // What the system says in the midst of a conversation is read as the user's.
    api_capabilities: { anthropic_messages: { system_prompt_update: 'leading-only' } },
  };
}

export function wireModels(cards: readonly ModelCard[]): {
  readonly object: 'list';
  readonly data: readonly WireModel[];
} {
  return { object: 'list', data: cards.map(wireModel) };
}

/** One entry of Anthropic's list of models. */
export interface AnthropicModel {
  readonly id: string;
  readonly type: 'model';
  readonly display_name: string;
  /** RFC 3339. Nobody knows it of a checkpoint; Anthropic says the epoch then. */
  readonly created_at: string;
  readonly max_input_tokens: number;
  readonly max_tokens: number;
}

export function anthropicModel({ id, name, contextWindow, maxOutputTokens }: ModelCard): AnthropicModel {
  return {
    ...{ id, type: 'model', display_name: name, created_at: new Date(0).toISOString() },
    ...{ max_input_tokens: contextWindow, max_tokens: maxOutputTokens },
  };
}

export function anthropicModels(cards: readonly ModelCard[]) {
  return anthropicList(cards.map(anthropicModel), false);
}
