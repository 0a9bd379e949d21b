// `POST /chat/completions`: from a body to chat.
//
// Owns which provider is asked for what. JSON shapes are `protocol`'s, how an answer is carried out is `answer-plan`'s.

import { parseChatCompletionsRequest, type StoredRequest } from '@hadal/protocol/chat-completions-request';
import {
  type ChatCompletion,
  type ChoiceEvent,
  CompletionCollector,
  type CompletionHead,
  chatCompletionChunk,
  collectChatCompletion,
} from '@hadal/protocol/chat-completions-response';
import { namespaceOf } from './accounts.ts';
import {
  type Call,
  chunkStream,
  type Endpoint,
  type EndpointOptions,
  includesUsage,
  planAnswer,
} from './answer-plan.ts';
import { choiceSeed } from './choices.ts';
import { providerOf } from './provider.ts';

export function chatCompletionsEndpoint(options: EndpointOptions): Endpoint {
  const { models, store, now } = options;

  async function keep(call: Call, answer: ChatCompletion, { metadata, messages, tools }: StoredRequest): Promise<void> {
    const { id, model } = answer;
    const { owner } = call.account;
    // As OpenAI's has them: without its tools nobody can learn from an answer that calls them.
    const completion = tools.length > 0 ? { ...answer, tools } : answer;
    await store.completions.add({ id, owner, createdMs: now(), model, metadata, completion, messages });
  }

  return (call) => {
    const providers = models.of(call.account.owner);
    const cards = providers.map(({ model }) => model);
    const { chat, choices, delivery, record, isStored } = parseChatCompletionsRequest(call.body, cards);
    const provider = providerOf(providers, chat.model);
    const userId = namespaceOf(call.account, chat.userId);
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
        charged: { operation: 'createChatCompletion', user: chat.userId },
        answers: Array.from({ length: choices }, (_, i) =>
          provider.chat({ ...chat, userId, seed: choiceSeed(chat.seed, i) }, call.signal),
        ),
        through:
          isStored || call.account.key?.keepsText
            ? (events) => keeping(events, head, (completion) => keep(call, completion, record))
            : undefined,
        stream: chunkStream((event: ChoiceEvent) => chatCompletionChunk(event, head, includesUsage(delivery))),
        whole: (events) => collectChatCompletion(events, head),
      },
      call,
      options,
    );
  };
}

/** The events, the last of them only when the completion is kept. */
async function* keeping(
  events: AsyncIterable<ChoiceEvent>,
  head: CompletionHead,
  keep: (completion: ChatCompletion) => Promise<void>,
): AsyncGenerator<ChoiceEvent, void, void> {
  const collector = new CompletionCollector(head);
  for await (const event of events) {
    const completion = collector.add(event);
    if (completion) await keep(completion);
    yield event;
  }
}
