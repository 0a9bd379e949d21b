// The names that a model answers to beside its own.
//
// Owns the names that DeepSeek's clients have built in and what each of them means: whether it thinks where a request does not
// say, and whose rules hold. They all stand for a model that is there. Knows nothing of requests.

import type { ModelCard } from '@hadal/protocol/models';
import type { Provider } from './provider.ts';

export type ModelName = Pick<ModelCard, 'id' | 'name' | 'thinking' | 'profile'>;

/** DeepSeek's names of October 2026, and the three older ones that most clients still have. */
export const deepseekNames: readonly ModelName[] = [
  { id: 'deepseek-flash', name: 'DeepSeek Flash', thinking: 'high', profile: 'current' },
  { id: 'deepseek-v4-pro', name: 'DeepSeek V4 Pro', thinking: 'high', profile: 'current' },
  { id: 'deepseek-v4-flash', name: 'DeepSeek V4 Flash', thinking: 'high', profile: 'current' },
  { id: 'deepseek-chat', name: 'DeepSeek Chat', thinking: 'off', profile: 'current' },
  { id: 'deepseek-reasoner', name: 'DeepSeek Reasoner', thinking: 'high', profile: 'r1' },
];

/** `provider` under its own name and under each of the others, as far as those are free. */
export function namedProviders(provider: Provider, names: readonly ModelName[]): Provider[] {
  const others = names.filter(({ id }) => id !== provider.model.id);
  return [provider, ...others.map((name) => ({ ...provider, model: { ...provider.model, ...name } }))];
}
