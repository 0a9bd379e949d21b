// What callers can learn about a model.
//
// Owns the card of a model (names, limits, defaults) and its wire form on `GET /models`. Knows nothing about how the
// model is run. `contextWindow` counts prompt and completion together.

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
  /** What the model samples with when the caller does not say; its publisher's recommendation. */
  /** Whose rules hold for it: today's, or those that DeepSeek-R1 was served with. */
  readonly profile: 'current' | 'r1';
  /** Whether it thinks where the caller does not say. */
  readonly thinking: 'off' | 'high';
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
  };
}

export function wireModels(cards: readonly ModelCard[]): {
  readonly object: 'list';
  readonly data: readonly WireModel[];
} {
  return { object: 'list', data: cards.map(wireModel) };
}
