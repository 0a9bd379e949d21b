// What upstreams write in their events, whatever their spelling.
//
// Owns the parts that chunks of chats and of completions have in common: errors in the middle of a stream, usage, endings, and the
// choice that an event is about. Anything that cannot be what it should be is unreadable, and never guessed at.

import { type FinishReason, noUsage, type TokenLogprob, type Usage } from '@hadal/protocol/chat-event';
import { parsed } from './upstream-connection.ts';
import { messageIn, UpstreamFailure } from './upstream-failure.ts';

/** A JSON object of unknown content. */
export type Wire = Readonly<Record<string, unknown>>;

export interface UpstreamChunk {
  /** The first choice, of which there is one; undefined where the event is about something else. */
  readonly choice: Wire | undefined;
  readonly usage: Usage | undefined;
}

/** Reads the events of one answer. */
export interface EventReader<E> {
  /** Whether something of the answer has come, even if it is still held back. */
  readonly hasBegun: boolean;
  /** Whether the upstream has said how the answer ended. */
  readonly isOver: boolean;
  /** Throws `UpstreamFailure` for what is no part of an answer. */
  read(data: string): E[];
  /** What was held back, and the end. */
  end(): E[];
  /** The end of an answer that is not waited for any longer; `isSent`: which may have cost something. */
  leave(reason: 'aborted' | 'insufficient_system_resource', isSent: boolean): E[];
}

/** Where nobody has said what an answer took: an estimate that is still to be made. */
export const unknownUsage: Usage = { ...noUsage, isEstimate: true };

/** Throws `UpstreamFailure` for what is no chunk, or an error. */
export function readChunk(data: string): UpstreamChunk {
  const chunk = objectOf(parsed(data), 'an event');
  if (chunk === undefined) throw unreadable('an event', chunk);
  // vLLM once told errors without an envelope.
  const error = chunk.error ?? (chunk.object === 'error' ? chunk : undefined);
  if (error != null) throw toldFailure(error, data);
  const { choices } = chunk;
  if (choices != null && !Array.isArray(choices)) throw unreadable('choices', choices);
  return {
    choice: objectOf(choices?.[0], 'a choice'),
    usage: usageOf(objectOf(chunk.usage, 'usage')),
  };
}

function toldFailure(error: unknown, data: string): UpstreamFailure {
  const { code, status } = (typeof error === 'object' ? error : {}) as { readonly code?: unknown; status?: unknown };
  const told = [code, status].map(Number).find((number) => number >= 400 && number < 600) ?? 500;
  return new UpstreamFailure('status', messageIn(data) ?? 'an error without words', told);
}

function usageOf(wire: Wire | undefined): Usage | undefined {
  if (wire === undefined) return undefined;
  const ofPrompt = objectOf(wire.prompt_tokens_details, 'prompt_tokens_details') ?? {};
  const ofCompletion = objectOf(wire.completion_tokens_details, 'completion_tokens_details') ?? {};
  const prompt = count(wire.prompt_tokens);
  const completion = count(wire.completion_tokens);
  // Proxies say nothing so, where they were told nothing.
  if (prompt === 0 && completion === 0) return undefined;
  return {
    ...{ prompt, completion },
    // DeepSeek's spelling, then OpenAI's.
    cacheHit: Math.min(prompt, count(wire.prompt_cache_hit_tokens ?? ofPrompt.cached_tokens)),
    // SGLang's spelling is the second.
    reasoning: count(ofCompletion.reasoning_tokens ?? wire.reasoning_tokens),
    acceptedPrediction: count(ofCompletion.accepted_prediction_tokens),
    rejectedPrediction: count(ofCompletion.rejected_prediction_tokens),
  };
}

/** undefined: the answer is not over. Throws for an ending that nobody knows: it may be that of half an answer. */
export function finishReasonOf({ finish_reason: reason }: Wire): FinishReason | undefined {
  if (reason == null || reason === '') return undefined;
  const known = endings[String(reason)];
  if (known === undefined) throw unreadable('finish_reason', reason);
  return known;
}

const endings: Readonly<Record<string, FinishReason>> = {
  ...{ stop: 'stop', eos: 'stop', eos_token: 'stop', stop_sequence: 'stop' },
  // The model went round in circles, and was stopped.
  ...{ length: 'length', max_tokens: 'length', repetition: 'length' },
  ...{ tool_calls: 'tool_calls', function_call: 'tool_calls' },
  content_filter: 'content_filter',
  ...{ insufficient_system_resource: 'insufficient_system_resource', aborted: 'insufficient_system_resource' },
  ...{ abort: 'insufficient_system_resource', error: 'insufficient_system_resource' },
};

/** The one of `stop` that vLLM or SGLang says has ended the answer. */
export function stopStringOf({ stop_reason: a, matched_stop: b }: Wire, stop: readonly string[]): string | undefined {
  return stop.find((text) => text === a || text === b);
}

export function tokenLogprobOf(wire: Wire): TokenLogprob {
  const { bytes, logprob } = wire;
  const token = textOf(wire.token, 'a token');
  return {
    token,
    bytes: Array.isArray(bytes) ? Uint8Array.from(bytes) : new TextEncoder().encode(token),
    // What has no chance cannot be told in JSON.
    logprob: typeof logprob === 'number' ? logprob : -9999,
  };
}

/** Absent where it is null. */
export function textOf(value: unknown, what: string): string {
  if (value == null) return '';
  if (typeof value !== 'string') throw unreadable(what, value);
  return value;
}

export function objectOf(value: unknown, what: string): Wire | undefined {
  if (value == null) return undefined;
  if (typeof value !== 'object' || Array.isArray(value)) throw unreadable(what, value);
  return value as Wire;
}

export function listOf(value: unknown, what: string): readonly Wire[] {
  if (value == null) return [];
  if (!Array.isArray(value)) throw unreadable(what, value);
  return value.map((one) => objectOf(one, what) ?? {});
}

function count(value: unknown): number {
  if (value == null) return 0;
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw unreadable('a number of tokens', value);
  return value as number;
}

export function unreadable(what: string, value: unknown): UpstreamFailure {
  return new UpstreamFailure('unreadable', `${what}: ${JSON.stringify(value)?.slice(0, 80)}`);
}
