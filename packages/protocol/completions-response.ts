// The answers of `POST /completions`: one object, or one chunk for each piece of text.
//
// Owns their exact shape on the wire, OpenAI's older one, which DeepSeek kept for filling in the middle. Knows nothing about
// SSE or HTTP. Chunks have the shape of the whole. Usage rides on the last chunk, always.

import { type CompletionHead, type WireUsage, wireUsage } from './chat-completions-response.ts';
import type { FinishReason, TokenLogprob, TokenLogprobs, Usage } from './chat-event.ts';

/** What a model writes after a prompt, piece by piece: `start`, perhaps the prompt itself, text, then one `finish`. */
export type CompletionEvent =
  /** The request is accepted: from here on a caller's mistake can no longer be the reason for a failure. */
  | { readonly type: 'start' }
  /** `logprobs` is empty unless they were asked for; a prompt's first token has none. */
  | { readonly type: 'prompt' | 'text'; readonly text: string; readonly logprobs: readonly ScoredToken[] }
  | {
      readonly type: 'finish';
      readonly reason: FinishReason;
      readonly usage: Usage;
      readonly queuedMs?: number | undefined;
    };

/** A token with its log-probability, or the first one of a prompt, which nothing comes before. */
export type ScoredToken = TokenLogprobs | { readonly token: string; readonly logprob: undefined };

/** An event of one of a request's texts; `usage` on the very last one: what all of them took together. */
export interface TextEvent {
  readonly index: number;
  readonly event: CompletionEvent;
  readonly usage: Usage | undefined;
}

interface WireTextLogprobs {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
  /** Where each token begins in the text, in UTF-16 units as JavaScript counts them. */
  readonly text_offset: readonly number[];
}

export interface WireText {
  readonly index: number;
  readonly text: string;
  readonly logprobs: WireTextLogprobs | null;
  readonly finish_reason: FinishReason | null;
}

export interface TextCompletion {
  readonly id: string;
  readonly object: 'text_completion';
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
  readonly choices: readonly WireText[];
  /** On the whole and on the last chunk; null before it when `stream_options.include_usage` asks for that. */
  readonly usage?: WireUsage | null;
}

type Head = Pick<CompletionHead, 'id' | 'created' | 'model' | 'systemFingerprint' | 'hasLogprobs'>;

/** Puts the texts of one request together, chunk by chunk or whole. */
export class TextWriter {
  readonly #head: Head;
  /** Of each text, how much of it there has been. */
  readonly #lengths: number[] = [];

  constructor(head: Head) {
    this.#head = head;
  }

  /** The chunk for one event, undefined where it says nothing on the wire. Events come in order. */
  chunk({ index, event, usage }: TextEvent, includeUsage: boolean): TextCompletion | undefined {
    if (event.type === 'start') return undefined;
    return {
      ...wireHead(this.#head),
      choices: [
        event.type === 'finish'
          ? { index, text: '', logprobs: null, finish_reason: event.reason }
          : { index, text: event.text, logprobs: this.#logprobs(index, event), finish_reason: null },
      ],
      ...(usage ? { usage: wireUsage(usage) } : includeUsage ? { usage: null } : {}),
    };
  }

  /** All texts, whole. Rejects when `events` fails or ends without its last event. */
  async collect(events: AsyncIterable<TextEvent>): Promise<TextCompletion> {
    const texts: { text: string; logprobs: WireTextLogprobs[]; reason: FinishReason | null }[] = [];
    let total: Usage | undefined;
    for await (const { index, event, usage } of events) {
      const text = texts[index] ?? { text: '', logprobs: [], reason: null };
      texts[index] = text;
      if (event.type === 'finish') text.reason = event.reason;
      if (event.type === 'text' || event.type === 'prompt') {
        text.text += event.text;
        const logprobs = this.#logprobs(index, event);
        if (logprobs) text.logprobs.push(logprobs);
      }
      total = usage;
    }
    if (total === undefined) throw new Error('events: expected a finish, but they ended without it');
    return {
      ...wireHead(this.#head),
      choices: texts.map(({ text, logprobs, reason }, index) => ({
        index,
        text,
        logprobs: this.#head.hasLogprobs ? joined(logprobs) : null,
        finish_reason: reason,
      })),
      usage: wireUsage(total),
    };
  }

  #logprobs(index: number, event: { readonly text: string; readonly logprobs: readonly ScoredToken[] }) {
    let offset = this.#lengths[index] ?? 0;
    this.#lengths[index] = offset + event.text.length;
    if (!this.#head.hasLogprobs) return null;
    const offsets = event.logprobs.map(({ token }) => {
      const begin = offset;
      offset += token.length;
      return begin;
    });
    return {
      tokens: event.logprobs.map(({ token }) => token),
      token_logprobs: event.logprobs.map(({ logprob }) => (logprob === undefined ? null : finite(logprob))),
      top_logprobs: event.logprobs.map((scored) => ('top' in scored ? byToken([...scored.top]) : null)),
      text_offset: offsets,
    };
  }
}

function wireHead({ id, created, model, systemFingerprint }: Head) {
  return { id, object: 'text_completion' as const, created, model, system_fingerprint: systemFingerprint };
}

/** Of two tokens with the same text, parts of characters, the likelier one is told. */
function byToken(top: readonly TokenLogprob[]): Record<string, number> {
  return Object.fromEntries(top.toReversed().map(({ token, logprob }) => [token, finite(logprob)]));
}

/** JSON has no -Infinity; DeepSeek writes -9999 for what has no chance. */
function finite(logprob: number): number {
  return Math.max(logprob, -9999);
}

function joined(parts: readonly WireTextLogprobs[]): WireTextLogprobs {
  return {
    tokens: parts.flatMap(({ tokens }) => tokens),
    token_logprobs: parts.flatMap(({ token_logprobs }) => token_logprobs),
    top_logprobs: parts.flatMap(({ top_logprobs }) => top_logprobs),
    text_offset: parts.flatMap(({ text_offset }) => text_offset),
  };
}
