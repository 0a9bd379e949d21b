// The names that models answer to beside their own.
//
// Owns the names that DeepSeek's and Anthropic's clients have built in and what each of them means: which model stands behind
// it, whether it thinks where a request does not say, how much it may say, and whose rules hold. Knows nothing of requests.

import type { ModelCard } from '@hadal/protocol/models';
import type { Provider } from './provider.ts';

/** What a name changes of the model behind it; the rest is the model's. */
export interface ModelName
  extends Partial<
    Pick<ModelCard, 'name' | 'thinking' | 'profile' | 'contextWindow' | 'maxOutputTokens' | 'maxReasoningTokens'> &
      ModelCard['sampling']
  > {
  readonly id: string;
  /** The id of the model that stands behind it; undefined: the first there is. */
  readonly model?: string | undefined;
}

/** DeepSeek's names of October 2026, and the three older ones that most clients still have. */
export const deepseekNames: readonly ModelName[] = [
  { id: 'deepseek-flash', name: 'DeepSeek Flash', thinking: 'high', profile: 'current' },
  { id: 'deepseek-v4-pro', name: 'DeepSeek V4 Pro', thinking: 'high', profile: 'current' },
  { id: 'deepseek-v4-flash', name: 'DeepSeek V4 Flash', thinking: 'high', profile: 'current' },
  { id: 'deepseek-chat', name: 'DeepSeek Chat', thinking: 'off', profile: 'current' },
  { id: 'deepseek-reasoner', name: 'DeepSeek Reasoner', thinking: 'high', profile: 'r1' },
];

/**
 * The providers under their own names and under each of the others. Of two names that are alike the later counts, which may
 * also be a model's own: it then says how that model is shown. Throws an Error of one line for a name of no model.
 */
export function namedProviders(providers: readonly Provider[], names: readonly ModelName[]): Provider[] {
  const named = new Map(providers.map((provider) => [provider.model.id, provider]));
  for (const { id, model, temperature, topP, ...changes } of names) {
    const behind =
      model === undefined
        ? (providers.find((one) => one.model.id === id) ?? providers[0])
        : providerNamed(providers, model);
    if (behind === undefined) throw new Error('providers: expected at least one, got none');
    const { sampling } = behind.model;
    const card = {
      ...{ ...behind.model, ...changes, id },
      sampling: { temperature: temperature ?? sampling.temperature, topP: topP ?? sampling.topP },
    };
    const contextWindow = Math.min(card.contextWindow, behind.model.contextWindow);
    const maxOutputTokens = Math.min(card.maxOutputTokens, contextWindow);
    named.set(id, { ...behind, behind: behind.model.id, model: { ...card, contextWindow, maxOutputTokens } });
  }
  return [...named.values()];
}

function providerNamed(providers: readonly Provider[], id: string): Provider {
  const provider = providers.find(({ model }) => model.id === id);
  if (provider !== undefined) return provider;
  const known = providers.map(({ model }) => JSON.stringify(model.id)).join(', ');
  throw new Error(`models: expected one of the models there are, ${known}, got ${JSON.stringify(id)}`);
}
