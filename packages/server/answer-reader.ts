// From the tokens of an answer to its events.
//
// Owns what lies between tokens and text: which tokens were reasoning, which log-probabilities belong to which piece of
// text, how an answer ended. The grammar is the parser's. Every token is counted once, whatever the parser holds back.

import type { TokenEvent } from '@hadal/engine/engine';
import type { AnswerEvent, AnswerParser } from '@hadal/formats/chat/dialect';
import { thinkBegin, thinkEnd } from '@hadal/formats/special-tokens';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import type { ChatEvent, TokenLogprobs } from '@hadal/protocol/chat-event';
import { type EngineFinish, finishReasons, tokenLogprobs, usageOf } from './engine-words.ts';

export interface AnswerReaderOptions {
  readonly tokenizer: Tokenizer;
  /** Of the dialect that the prompt was written in, opened where the answer begins. */
  readonly parser: AnswerParser;
  readonly hasLogprobs: boolean;
  /** A new id for a tool call. */
  readonly newCallId: (index: number) => string;
}

type Token = Extract<TokenEvent, { type: 'token' }>;

/** Reads one answer, token by token. */
export class AnswerReader {
  readonly #options: AnswerReaderOptions;
  readonly #parser: AnswerParser;
  #reasoningTokens = 0;
  #hasCalled = false;
  /** Tokens whose text the parser has not given back yet. */
  #pending: Token[] = [];

  constructor(options: AnswerReaderOptions) {
    this.#options = options;
    this.#parser = options.parser;
  }

  /** Text that the answer begins with although the model did not choose it. */
  prefill(text: string): ChatEvent[] {
    return this.#translate(this.#parser.push(text));
  }

  token(token: Token): ChatEvent[] {
    const wasReasoning = this.#parser.isReasoning;
    const events = this.#parser.push(token.text);
    const { isReasoning } = this.#parser;
    if (wasReasoning && isReasoning) this.#reasoningTokens++;
    const isMark = wasReasoning !== isReasoning && (token.text === thinkBegin || token.text === thinkEnd);
    if (this.#options.hasLogprobs && !isMark) this.#pending.push(token);
    return this.#translate(events);
  }

  /** What was held back, and the end. */
  finish(finish: EngineFinish): ChatEvent[] {
    const rest = this.#translate(this.#parser.end());
    const reason = finishReasons[finish.reason];
    const usage = usageOf(finish, this.#reasoningTokens);
    return [
      ...rest,
      {
        ...{ type: 'finish', reason: reason === 'stop' && this.#hasCalled ? 'tool_calls' : reason, usage },
        ...(finish.stopString !== undefined && { stopString: finish.stopString }),
      },
    ];
  }

  #translate(events: readonly AnswerEvent[]): ChatEvent[] {
    return events.flatMap((event): ChatEvent[] => {
      switch (event.type) {
        case 'reasoning':
        case 'content':
          return [{ type: event.type, text: event.text, logprobs: this.#takeLogprobs(event.text) }];
        case 'tool-call-start':
          this.#pending = [];
          return [
            { type: 'tool-call', index: event.index, id: this.#options.newCallId(event.index), name: event.name },
          ];
        case 'tool-call-arguments':
          this.#pending = [];
          return [{ type: 'tool-call-arguments', index: event.index, text: event.text }];
        case 'tool-call-end':
          this.#hasCalled = true;
          return [];
        default:
          return unreachable(event);
      }
    });
  }

  /** Of the tokens waiting, those that make up `text`. Tokens before it were markup. */
  #takeLogprobs(text: string): TokenLogprobs[] {
    const waiting = this.#pending.map((token) => token.text).join('');
    // Not found when its beginning came with a token already taken: then the rest of it is all that waits.
    const begin = Math.max(0, waiting.indexOf(text));
    const taken: Token[] = [];
    let at = 0;
    let used = 0;
    for (const token of this.#pending) {
      if (at >= begin + text.length) break;
      used++;
      at += token.text.length;
      // A token without text of its own is the beginning of a character that the next completes.
      if (at > begin || (at === begin && token.text === '')) taken.push(token);
    }
    this.#pending = this.#pending.slice(used);
    return taken.map((token) => tokenLogprobs(this.#options.tokenizer, token));
  }
}

function unreachable(value: never): never {
  throw new Error(`expected a known event, got ${JSON.stringify(value)}`);
}
