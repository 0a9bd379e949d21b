// `POST /tokenize` and `/detokenize`.
//
// Owns which provider is asked. JSON shapes are `protocol`'s.

import { parseDetokenizeRequest, parseTokenizeRequest, type WireTokens } from '@hadal/protocol/tokenize';
import type { Call } from './answer-plan.ts';
import type { Models } from './model-source.ts';
import { providerOf } from './provider.ts';

export function tokenEndpoints(models: Models) {
  return {
    async tokenize({ account, body }: Call): Promise<WireTokens> {
      const providers = models.of(account.owner);
      const cards = providers.map(({ model }) => model);
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

    async detokenize({ account, body }: Call): Promise<{ readonly prompt: string }> {
      const providers = models.of(account.owner);
      const cards = providers.map(({ model }) => model);
      const { model, tokens } = parseDetokenizeRequest(body, cards);
      return { prompt: await providerOf(providers, model).detokenize(tokens) };
    },
  };
}
