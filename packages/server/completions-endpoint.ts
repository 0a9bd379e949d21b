// `POST /completions`: from a body to text that goes on, or that fills a gap.
//
// Owns which provider is asked for what. JSON shapes are `protocol`'s, how an answer is carried out is `answer-plan`'s.

import { parseCompletionsRequest } from '@hadal/protocol/completions-request';
import { type CompletionEvent, type TextEvent, TextWriter } from '@hadal/protocol/completions-response';
import { namespaceOf } from './accounts.ts';
import { chunkStream, type Endpoint, type EndpointOptions, includesUsage, planAnswer } from './answer-plan.ts';
import { choiceSeed } from './choices.ts';
import { providerOf } from './provider.ts';

export function completionsEndpoint(options: EndpointOptions): Endpoint {
  const { models, now } = options;

  return (call) => {
    const providers = models.of(call.account.owner);
    const cards = providers.map(({ model }) => model);
    const { completions, choices, delivery, hasText } = parseCompletionsRequest(call.body, cards);
    const [{ model, topLogprobs } = { model: '', topLogprobs: undefined }] = completions;
    const provider = providerOf(providers, model);
    const writer = new TextWriter({
      id: call.id,
      created: Math.floor(now() / 1000),
      model,
      systemFingerprint: provider.fingerprint,
      hasLogprobs: topLogprobs !== undefined,
    });
    return planAnswer(
      {
        ...{ model, delivery, choices },
        charged: { operation: 'createCompletion', user: completions[0]?.userId ?? '' },
        answers: completions.map((completion, i) => {
          const userId = namespaceOf(call.account, completion.userId);
          const seed = choiceSeed(completion.seed, i % choices);
          const answer = provider.complete({ ...completion, userId, seed }, call.signal);
          return hasText ? answer : withoutText(answer);
        }),
        stream: chunkStream((event: TextEvent) => writer.chunk(event, includesUsage(delivery))),
        whole: (events) => writer.collect(events),
      },
      call,
      options,
    );
  };
}

/** An answer of which only the prompt was wanted. */
async function* withoutText(
  answer: AsyncGenerator<CompletionEvent, void, void>,
): AsyncGenerator<CompletionEvent, void, void> {
  for await (const event of answer) {
    if (event.type === 'text') continue;
    yield event.type === 'finish' ? { ...event, usage: { ...event.usage, completion: 0 } } : event;
  }
}
