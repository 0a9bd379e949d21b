// Anthropic's `POST /v1/messages` and `/v1/messages/count_tokens`: from a body to chat.
//
// Owns which model a name of Anthropic's stands for, and which provider is asked. JSON shapes are `protocol`'s, the connection
// is `answer-delivery`'s. As on DeepSeek no name is an error: clients of Anthropic's have theirs built in.

import { parseAnthropicCountTokens, parseAnthropicMessages } from '@hadal/protocol/anthropic-messages-request';
import { type AnthropicEvent, AnthropicWriter, anthropicErrorBody } from '@hadal/protocol/anthropic-messages-response';
import type { ChatEvent } from '@hadal/protocol/chat-event';
import type { ModelCard } from '@hadal/protocol/models';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type AnswerOptions, deliverAnswers, serverSentEvent } from './answer-delivery.ts';
import type { NumberedEvent } from './choices.ts';
import { type Provider, providerOf } from './provider.ts';

/** DeepSeek's table: the large models of Anthropic's are its large one, all others the fast one. */
const stronger = /^claude-(opus|mythos|fable)/;

export function anthropicRoutes(options: AnswerOptions) {
  const { providers, now, cancellation } = options;
  const cardFor = (name: string) => anthropicCard(providers, name);

  return {
    async messages(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
      const receivedAt = now();
      const { chat, delivery } = parseAnthropicMessages(request.body, cardFor);
      const provider = providerOf(providers, chat.model);
      const writer = new AnthropicWriter({ id: `msg_${request.id.replaceAll('-', '')}`, model: chat.model });
      return await deliverAnswers(
        request,
        reply,
        {
          ...{ model: chat.model, receivedAt, delivery, choices: 1 },
          answers: [provider.chat(chat, cancellation(reply.raw))],
          stream: {
            frames: ({ event }) => writer.events(event).map(named),
            end: '',
            failure: (error) => serverSentEvent(anthropicErrorBody(error), 'error'),
            keepAlive: serverSentEvent({ type: 'ping' }, 'ping'),
          },
          whole: (events) => writer.collect(eventsOf(events)),
        },
        options,
      );
    },

    async countTokens(request: FastifyRequest): Promise<{ readonly input_tokens: number }> {
      const chat = parseAnthropicCountTokens(request.body, cardFor);
      const tokens = await providerOf(providers, chat.model).tokenize(chat);
      return { input_tokens: tokens.length };
    },
  };
}

/** The model that a name stands for: the one so called, or what DeepSeek puts in its place. */
function anthropicCard(providers: readonly Provider[], name: string): ModelCard {
  const cards = providers.map(({ model }) => model);
  const standIn = stronger.test(name) ? 'deepseek-v4-pro' : 'deepseek-flash';
  const card = [name, standIn].flatMap((id) => cards.find((card) => card.id === id) ?? [])[0] ?? cards[0];
  if (card === undefined) throw new Error('providers: expected at least one, got none');
  return card;
}

function named(event: AnthropicEvent): string {
  return serverSentEvent(event, event.type);
}

async function* eventsOf(events: AsyncIterable<NumberedEvent<ChatEvent>>): AsyncGenerator<ChatEvent, void, void> {
  for await (const { event } of events) yield event;
}
