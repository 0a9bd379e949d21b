// Questions of graders and jobs, as calls like everybody's.
//
// Owns how a question becomes a chat completion in the name of an account, which pays for it, and what becomes of its answer. A
// mistake, such as a model that is not there, is an answer too: whoever asks is no caller of the API.

import {
  type ChannelQuestion,
  type ChannelReply,
  isPassing,
  isWhole,
  wireAskedMessage,
} from '@hadal/protocol/job-channel';
import { RequestError } from '@hadal/protocol/request-error';
import type { Call, Endpoint } from './answer-plan.ts';

export type AskModels = (question: ChannelQuestion, signal: AbortSignal | undefined) => Promise<ChannelReply>;

interface Completion {
  readonly choices: readonly {
    readonly finish_reason: string;
    readonly message: {
      readonly content: string;
      readonly reasoning_content?: string;
      readonly tool_calls?: readonly {
        readonly id: string;
        readonly function: { readonly name: string; readonly arguments: string };
      }[];
    };
  }[];
}

/** `call`: in whose name; its id begins those of the questions. */
export function modelAsker(chat: Endpoint, call: Omit<Call, 'body'>): AskModels {
  let count = 0;
  return async (question, given) => {
    const signal = given ? AbortSignal.any([given, call.signal]) : call.signal;
    try {
      const plan = await chat({ ...call, id: `${call.id}-${count++}`, body: bodyOf(question), signal });
      const { choices } = (await (await plan.start()).whole()) as Completion;
      // What was cut short is no answer.
      if (call.signal.aborted) return { type: 'gone' };
      const usage = plan.usage();
      const { message, finish_reason: reason } = choices[0] ?? {};
      return {
        ...{ type: 'answer', content: message?.content ?? '', reasoning: message?.reasoning_content ?? '' },
        toolCalls: (message?.tool_calls ?? []).map(({ id, function: called }) => ({ id, ...called })),
        isTruncated: !isWhole(reason),
        usage: {
          ...{ promptTokens: usage?.prompt ?? 0, completionTokens: usage?.completion ?? 0 },
          cachedTokens: usage?.cacheHit ?? 0,
        },
      };
    } catch (error) {
      if (call.signal.aborted) return { type: 'gone' };
      if (!(error instanceof RequestError)) throw error;
      return { type: 'failure', message: error.message, mayPass: isPassing(error.status) };
    }
  };
}

function bodyOf(question: ChannelQuestion): object {
  const { model, messages, tools = [], thinking, seed, topP, temperature, maxTokens, effort, schema } = question;
  return {
    ...{ model, messages: messages.map(wireAskedMessage), store: false, stream: false },
    ...(tools.length > 0 && { tools: tools.map((tool) => ({ type: 'function', function: tool })) }),
    ...(thinking !== undefined && { thinking: { type: thinking ? 'enabled' : 'disabled' } }),
    ...(seed !== undefined && { seed }),
    ...(topP !== undefined && { top_p: topP }),
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined && { max_tokens: maxTokens }),
    ...(effort !== undefined && { reasoning_effort: effort }),
    ...(schema !== undefined && {
      response_format: { type: 'json_schema', json_schema: { name: 'answer', schema } },
    }),
  };
}
