// A model behind somebody's address: a running `hadal serve`, or any other server that speaks chat completions.
//
// Owns the client side of that API: our question as JSON, their event stream as events. Knows nothing about terminals. A
// refusal becomes an Error with the server's own words.

import type { ChatEvent, FinishReason, Usage } from '@hadal/protocol/chat-event';
import type { Message } from '@hadal/protocol/chat-request';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import type { AnswerSettings, AnswerSource } from './answer-source.ts';

export interface Remote {
  /** With the path that the API stands under, if any: http://host/v1. */
  readonly url: URL;
  /** Which of the server's models; its first where undefined. */
  readonly model: string | undefined;
  /** Sent as a bearer token; undefined: none. */
  readonly apiKey: string | undefined;
}

interface ModelList {
  readonly data?: readonly { readonly id: string }[];
}

/** What we read of a chunk. Other servers leave out more than ours does. */
interface Chunk {
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null; readonly reasoning_content?: string | null };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: {
    readonly prompt_tokens?: number;
    readonly completion_tokens?: number;
    readonly prompt_cache_hit_tokens?: number;
    readonly completion_tokens_details?: {
      readonly reasoning_tokens?: number;
      readonly accepted_prediction_tokens?: number;
      readonly rejected_prediction_tokens?: number;
    } | null;
  } | null;
  readonly error?: { readonly message?: string };
}

/** Asks the server for its models. Throws an Error of one line when nobody answers or the model is not there. */
export async function openRemoteModel(remote: Remote): Promise<AnswerSource> {
  const response = await callServer(remote, 'models', {});
  const names = (parseJson<ModelList>(remote, await response.text()).data ?? []).map(({ id }) => id);
  const model = names.find((name) => remote.model === undefined || name === remote.model);
  if (model === undefined) {
    const expected = remote.model === undefined ? 'a model' : `the model ${remote.model}`;
    throw new Error(`${remote.url.href}: expected ${expected}, the server has ${names.join(', ') || 'none'}`);
  }
  return {
    model,
    description: `${model} at ${remote.url.host}`,
    answer: (messages, settings, signal) => answer(remote, wireRequest(model, messages, settings), signal),
    async [Symbol.asyncDispose]() {},
  };
}

async function* answer(remote: Remote, body: object, signal: AbortSignal): AsyncGenerator<ChatEvent, void, void> {
  let reason: FinishReason | undefined;
  let usage: Usage = {
    prompt: 0,
    cacheHit: 0,
    completion: 0,
    reasoning: 0,
    acceptedPrediction: 0,
    rejectedPrediction: 0,
  };
  try {
    const response = await callServer(remote, 'chat/completions', { body, signal });
    if (response.body === null) throw new Error(`${remote.url.href}: expected an event stream, got no body`);
    yield { type: 'start' };
    const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
    for await (const { data } of events) {
      if (data === '[DONE]') break;
      const chunk = parseJson<Chunk>(remote, data);
      if (chunk.error !== undefined) throw new Error(`${remote.url.href}: ${chunk.error.message ?? data}`);
      const choice = chunk.choices?.[0];
      const { reasoning_content: reasoning, content } = choice?.delta ?? {};
      if (reasoning) yield { type: 'reasoning', text: reasoning, logprobs: [] };
      if (content) yield { type: 'content', text: content, logprobs: [] };
      if (choice?.finish_reason) reason = choice.finish_reason === 'length' ? 'length' : 'stop';
      if (chunk.usage) usage = usageOf(chunk.usage);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    reason = 'aborted';
  }
  if (reason === undefined) throw new Error(`${remote.url.href}: the answer broke off`);
  yield { type: 'finish', reason, usage };
}

/** Throws an Error of one line where nobody answers, or the server refuses. With a body, JSON or a form, it is sent, else asked for. */
export async function callServer(
  { url, apiKey }: Remote,
  path: string,
  { body, signal, method }: { readonly body?: object; readonly signal?: AbortSignal; readonly method?: string },
): Promise<Response> {
  const base = url.href.endsWith('/') ? url.href : `${url.href}/`;
  const request = {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: {
      // A form says itself where its parts end.
      ...(!(body instanceof FormData) && { 'content-type': 'application/json' }),
      ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
    },
    ...(body !== undefined && { body: body instanceof FormData ? body : JSON.stringify(body) }),
    ...(signal !== undefined && { signal }),
  };
  const response = await fetch(new URL(path, base), request).catch((error: Error) => {
    if (signal?.aborted) throw error;
    const cause = (error.cause as NodeJS.ErrnoException | undefined)?.code ?? error.message;
    throw new Error(`${url.href}: no server answers there (${cause}); \`hadal serve\` starts one`);
  });
  if (response.ok) return response;
  throw new Error(`${url.href}: ${refusal(response.status, await response.text())}`);
}

/** What it answers, as JSON. */
export async function serverJson<T>(remote: Remote, path: string, body?: object): Promise<T> {
  const response = await callServer(remote, path, body === undefined ? {} : { body });
  return parseJson<T>(remote, await response.text());
}

function refusal(status: number, body: string): string {
  try {
    const { error } = JSON.parse(body) as { error?: { message?: unknown } };
    if (typeof error?.message === 'string') return error.message;
  } catch {
    // Not our kind of server: the status says more than its page.
  }
  return `the server answered with status ${status}`;
}

function parseJson<T>({ url }: Remote, text: string): T {
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new Error(`${url.href}: expected JSON, got ${JSON.stringify(text.slice(0, 60))}; is this a model server?`);
  }
}

/** What nobody asked for is left out, and the server decides. Its tools and their messages are not for a terminal. */
function wireRequest(model: string, messages: readonly Message[], settings: AnswerSettings): object {
  const { thinking, temperature, topP, maxTokens, seed } = settings;
  return {
    model,
    messages: messages.map(({ role, content }) => ({ role, content })),
    stream: true,
    stream_options: { include_usage: true },
    thinking: { type: thinking === 'off' ? 'disabled' : 'enabled' },
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { top_p: topP }),
    ...(maxTokens !== undefined && { max_tokens: maxTokens }),
    ...(seed !== undefined && { seed }),
  };
}

function usageOf(usage: NonNullable<Chunk['usage']>): Usage {
  return {
    prompt: usage.prompt_tokens ?? 0,
    cacheHit: usage.prompt_cache_hit_tokens ?? 0,
    completion: usage.completion_tokens ?? 0,
    reasoning: usage.completion_tokens_details?.reasoning_tokens ?? 0,
    acceptedPrediction: usage.completion_tokens_details?.accepted_prediction_tokens ?? 0,
    rejectedPrediction: usage.completion_tokens_details?.rejected_prediction_tokens ?? 0,
  };
}
