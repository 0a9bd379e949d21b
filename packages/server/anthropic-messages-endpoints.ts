// Anthropic's `POST /v1/messages` and `/v1/messages/count_tokens`: from a body to chat.
//
// Owns which model a name of Anthropic's stands for, and which provider is asked. JSON shapes are `protocol`'s, how an
// answer is carried out is `answer-plan`'s. As on DeepSeek no name is an error: clients of Anthropic's have theirs built in.

import { parseAnthropicCountTokens, parseAnthropicMessages } from '@hadal/protocol/anthropic-messages-request';
import { type AnthropicEvent, AnthropicWriter } from '@hadal/protocol/anthropic-messages-response';
import type { ChatEvent } from '@hadal/protocol/chat-event';
import { errorEnvelope } from '@hadal/protocol/error-envelope';
import type { ModelCard } from '@hadal/protocol/models';
import { namespaceOf } from './accounts.ts';
import { type Call, type EndpointOptions, planAnswer, serverSentEvent } from './answer-plan.ts';
import type { NumberedEvent } from './choices.ts';
import { type Provider, providerOf } from './provider.ts';

/** DeepSeek's table: the large models of Anthropic's are its large one, all others the fast one. */
const stronger = /^claude-(opus|mythos|fable)/;

export function anthropicEndpoints(options: EndpointOptions) {
  const { models } = options;

  return {
    messages(call: Call) {
      const providers = models.of(call.account.owner);
      const cardFor = (name: string) => anthropicCard(providers, name);
      const { chat, delivery } = parseAnthropicMessages(call.body, cardFor);
      const userId = namespaceOf(call.account, chat.userId);
      const writer = new AnthropicWriter({ id: `msg_${call.id.replaceAll('-', '')}`, model: chat.model });
      return planAnswer(
        {
          ...{ model: chat.model, delivery, choices: 1 },
          charged: { operation: 'createMessage', user: chat.userId },
          answers: [providerOf(providers, chat.model).chat({ ...chat, userId }, call.signal)],
          stream: {
            frames: ({ event }) => writer.events(event).map(named),
            end: '',
            failure: (error) => serverSentEvent(errorEnvelope(error, 'anthropic'), 'error'),
            keepAlive: serverSentEvent({ type: 'ping' }, 'ping'),
          },
          whole: (events) => writer.collect(eventsOf(events)),
        },
        call,
        options,
      );
    },

    async countTokens({ account, body }: Call): Promise<{ readonly input_tokens: number }> {
      const providers = models.of(account.owner);
      const chat = parseAnthropicCountTokens(body, (name) => anthropicCard(providers, name));
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
