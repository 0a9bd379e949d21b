// `POST /tokenize` and `/detokenize`.
//
// Owns which provider is asked. JSON shapes are `protocol`'s.

import { parseDetokenizeRequest, parseTokenizeRequest, type WireTokens } from '@hadal/protocol/tokenize';
import { type Provider, providerOf } from './provider.ts';

export function tokenEndpoints(providers: readonly Provider[]) {
  const cards = providers.map(({ model }) => model);
  return {
    async tokenize(body: unknown): Promise<WireTokens> {
      const { model, input, hasTexts } = parseTokenizeRequest(body, cards);
      const provider = providerOf(providers, model);
      const tokens = await provider.tokenize(input.type === 'text' ? input.text : input.chat);
      return {
        count: tokens.length,
        max_model_len: provider.model.contextWindow,
        tokens,
        ...(hasTexts && { token_strs: await Promise.all(tokens.map((id) => provider.detokenize([id]))) }),
      };
    },

    async detokenize(body: unknown): Promise<{ readonly prompt: string }> {
      const { model, tokens } = parseDetokenizeRequest(body, cards);
      return { prompt: await providerOf(providers, model).detokenize(tokens) };
    },
  };
}
