// `POST /tokenize` and `/detokenize`: text to a model's tokens and back.
//
// Owns their wire shapes, which are vLLM's. Conversations are rendered as for an answer, so that their length is what usage
// would say. Knows no tokenizer.

import { z } from 'zod';
import { parseChatCompletionsRequest } from './chat-completions-request.ts';
import type { ChatRequest } from './chat-request.ts';
import { cardNamed, type ModelCard } from './models.ts';
import { requestError } from './request-error.ts';
import { expecting, integer } from './sampling-fields.ts';
import { checkShape } from './shape-error.ts';

export interface TokenizeRequest {
  readonly model: string;
  readonly input:
    | { readonly type: 'text'; readonly text: string }
    | { readonly type: 'chat'; readonly chat: ChatRequest };
  /** Whether the texts of the tokens are wanted beside their ids. */
  readonly hasTexts: boolean;
}

export interface WireTokens {
  readonly count: number;
  /** Of the model's context. */
  readonly max_model_len: number;
  readonly tokens: readonly number[];
  readonly token_strs?: readonly string[];
}

/** Throws `RequestError` for the first mistake. */
export function parseTokenizeRequest(body: unknown, cards: readonly ModelCard[]): TokenizeRequest {
  const wire = checkShape(tokenizeBody, body);
  const hasTexts = wire.return_token_strs === true;
  if (wire.messages !== undefined) {
    if (wire.prompt !== undefined) {
      throw requestError('invalid-field', { field: 'prompt', problem: 'cannot be set together with messages' });
    }
    const { chat } = parseChatCompletionsRequest(body, cards);
    return { model: chat.model, input: { type: 'chat', chat }, hasTexts };
  }
  if (wire.prompt === undefined) {
    throw requestError('invalid-field', { field: 'prompt', problem: 'expected prompt or messages, got neither' });
  }
  return { model: idOf(wire.model, cards), input: { type: 'text', text: wire.prompt }, hasTexts };
}

export function parseDetokenizeRequest(
  body: unknown,
  cards: readonly ModelCard[],
): { readonly model: string; readonly tokens: readonly number[] } {
  const { model, tokens } = checkShape(detokenizeBody, body);
  return { model: idOf(model, cards), tokens };
}

export const tokenizeBody = z.object({
  model: z.string().optional().describe("Default: the server's first model."),
  prompt: z.string().optional().describe('The text, taken as it stands. This or `messages`.'),
  messages: z
    .array(z.unknown())
    .optional()
    .describe('A conversation, with all fields that `/chat/completions` takes beside it.'),
  return_token_strs: z.boolean().nullish().describe('Whether the texts of the tokens are wanted too. Default: false.'),
});

export const detokenizeBody = z.object({
  model: z.string().optional().describe("Default: the server's first model."),
  tokens: z.array(integer(0, Number.MAX_SAFE_INTEGER), expecting('array of token ids')).describe('Token ids.'),
});

/** The first model where none is named, as there often is only one. */
function idOf(name: string | undefined, cards: readonly ModelCard[]): string {
  return cardNamed(cards, name ?? cards[0]?.id ?? '').id;
}
