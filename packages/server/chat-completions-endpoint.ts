// `POST /chat/completions`: from a body to chat.
//
// Owns which provider is asked for what. JSON shapes are `protocol`'s, how an answer is carried out is `answer-plan`'s.

import { parseChatCompletionsRequest } from '@hadal/protocol/chat-completions-request';
import {
  type ChoiceEvent,
  type CompletionHead,
  chatCompletionChunk,
  collectChatCompletion,
} from '@hadal/protocol/chat-completions-response';
import { chunkStream, type Endpoint, type EndpointOptions, includesUsage, planAnswer } from './answer-plan.ts';
import { choiceSeed } from './choices.ts';
import { providerOf } from './provider.ts';

export function chatCompletionsEndpoint(options: EndpointOptions): Endpoint {
  const { providers, now } = options;
  const cards = providers.map(({ model }) => model);

  return (call) => {
    const { chat, choices, delivery } = parseChatCompletionsRequest(call.body, cards);
    const provider = providerOf(providers, chat.model);
    const head: CompletionHead = {
      id: call.id,
      created: Math.floor(now() / 1000),
      model: chat.model,
      systemFingerprint: provider.fingerprint,
      isThinking: chat.thinking !== 'off',
      hasLogprobs: chat.topLogprobs !== undefined,
    };
    return planAnswer(
      {
        ...{ model: chat.model, delivery, choices },
        answers: Array.from({ length: choices }, (_, i) =>
          provider.chat({ ...chat, seed: choiceSeed(chat.seed, i) }, call.signal),
        ),
        stream: chunkStream((event: ChoiceEvent) => chatCompletionChunk(event, head, includesUsage(delivery))),
        whole: (events) => collectChatCompletion(events, head),
      },
      call,
      options,
    );
  };
}
