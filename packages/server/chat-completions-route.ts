// `POST /chat/completions`: from a body to chat.
//
// Owns which provider is asked for what. JSON shapes are `protocol`'s, the connection is `answer-delivery`'s.

import { parseChatCompletionsRequest } from '@hadal/protocol/chat-completions-request';
import {
  type ChoiceEvent,
  type CompletionHead,
  chatCompletionChunk,
  collectChatCompletion,
} from '@hadal/protocol/chat-completions-response';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type AnswerOptions, chunkStream, deliverAnswers, includesUsage } from './answer-delivery.ts';
import { choiceSeed } from './choices.ts';
import { providerOf } from './provider.ts';

export function chatCompletionsRoute(options: AnswerOptions) {
  const { providers, now, cancellation } = options;
  const cards = providers.map(({ model }) => model);

  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const receivedAt = now();
    const { chat, choices, delivery } = parseChatCompletionsRequest(request.body, cards);
    const provider = providerOf(providers, chat.model);
    const signal = cancellation(reply.raw);
    const head: CompletionHead = {
      id: request.id,
      created: Math.floor(receivedAt / 1000),
      model: chat.model,
      systemFingerprint: provider.fingerprint,
      isThinking: chat.thinking !== 'off',
      hasLogprobs: chat.topLogprobs !== undefined,
    };
    return await deliverAnswers(
      request,
      reply,
      {
        ...{ model: chat.model, receivedAt, delivery, choices },
        answers: Array.from({ length: choices }, (_, i) =>
          provider.chat({ ...chat, seed: choiceSeed(chat.seed, i) }, signal),
        ),
        stream: chunkStream((event: ChoiceEvent) => chatCompletionChunk(event, head, includesUsage(delivery))),
        whole: (events) => collectChatCompletion(events, head),
      },
      options,
    );
  };
}
