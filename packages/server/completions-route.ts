// `POST /completions`: from a body to text that goes on, or that fills a gap.
//
// Owns which provider is asked for what. JSON shapes are `protocol`'s, the connection is `answer-delivery`'s.

import { parseCompletionsRequest } from '@hadal/protocol/completions-request';
import { type CompletionEvent, type TextEvent, TextWriter } from '@hadal/protocol/completions-response';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type AnswerOptions, chunkStream, deliverAnswers, includesUsage } from './answer-delivery.ts';
import { choiceSeed } from './choices.ts';
import { providerOf } from './provider.ts';

export function completionsRoute(options: AnswerOptions) {
  const { providers, now, cancellation } = options;
  const cards = providers.map(({ model }) => model);

  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const receivedAt = now();
    const { completions, choices, delivery, hasText } = parseCompletionsRequest(request.body, cards);
    const [{ model, topLogprobs } = { model: '', topLogprobs: undefined }] = completions;
    const provider = providerOf(providers, model);
    const signal = cancellation(reply.raw);
    const writer = new TextWriter({
      id: request.id,
      created: Math.floor(receivedAt / 1000),
      model,
      systemFingerprint: provider.fingerprint,
      hasLogprobs: topLogprobs !== undefined,
    });
    return await deliverAnswers(
      request,
      reply,
      {
        ...{ model, receivedAt, delivery, choices },
        answers: completions.map((completion, i) => {
          const answer = provider.complete({ ...completion, seed: choiceSeed(completion.seed, i % choices) }, signal);
          return hasText ? answer : withoutText(answer);
        }),
        stream: chunkStream((event: TextEvent) => writer.chunk(event, includesUsage(delivery))),
        whole: (events) => writer.collect(events),
      },
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
