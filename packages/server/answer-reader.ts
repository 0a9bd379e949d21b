// From the tokens of an answer to its events.
//
// Owns what lies between tokens and text: which tokens were reasoning, which log-probabilities belong to which piece of
// text, how an answer ended. The grammar is the parser's. Every token is counted once, whatever the parser holds back.

import type { TokenEvent } from '@hadal/engine/engine';
import type { AnswerEvent, AnswerParser } from '@hadal/formats/chat/dialect';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import type { ChatEvent } from '@hadal/protocol/chat-event';
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
type TextEvent = Extract<AnswerEvent, { type: 'reasoning' | 'content' }>;

/** A token that the parser may still say something of. */
interface Waiting {
  readonly token: Token;
  /** Whether it has been given beside a text already, of which it holds the end. */
  isGiven: boolean;
}

/** Reads one answer, token by token. */
export class AnswerReader {
  readonly #options: AnswerReaderOptions;
  readonly #parser: AnswerParser;
  #reasoningTokens = 0;
  #hasCalled = false;
  /** Oldest first; together, their text ends with what the parser holds back. */
  #waiting: Waiting[] = [];

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
    if (wasReasoning && this.#parser.isReasoning) this.#reasoningTokens++;
    if (this.#options.hasLogprobs) this.#waiting.push({ token, isGiven: false });
    return this.#translate(events);
  }

  /** What was held back, and the end. */
  finish(finish: EngineFinish): ChatEvent[] {
    const isFinished = finish.reason === 'stop' && finish.stopString === undefined;
    const rest = this.#translate(this.#parser.end(isFinished ? 'finished' : 'cut-off'));
    const reason = finishReasons[finish.reason];
    const usage = usageOf(finish, this.#reasoningTokens);
    return [
      ...rest,
      {
        ...{ type: 'finish', reason: reason === 'stop' && this.#hasCalled ? 'tool_calls' : reason, usage },
        ...(finish.stopString !== undefined && { stopString: finish.stopString }),
        ...(finish.queuedMs !== undefined && { queuedMs: finish.queuedMs }),
      },
    ];
  }

  #translate(events: readonly AnswerEvent[]): ChatEvent[] {
    const tokens = this.#tokensOf(events);
    return events.flatMap((event): ChatEvent[] => {
      switch (event.type) {
        case 'reasoning':
        case 'content': {
          const logprobs = (tokens.get(event) ?? []).map((token) => tokenLogprobs(this.#options.tokenizer, token));
          return [{ type: event.type, text: event.text, logprobs }];
        }
        case 'tool-call-start':
          return [
            { type: 'tool-call', index: event.index, id: this.#options.newCallId(event.index), name: event.name },
          ];
        case 'tool-call-arguments':
          return [{ type: 'tool-call-arguments', index: event.index, text: event.text }];
        case 'tool-call-end':
          this.#hasCalled = true;
          return [];
        default:
          return unreachable(event);
      }
    });
  }

  /**
   * The tokens of each text, each token once. Those of markup are nobody's, and neither are those of a call that is told as text.
   * From the last text back, since it is the end of what has come that the parser holds back.
   */
  #tokensOf(events: readonly AnswerEvent[]): Map<AnswerEvent, Token[]> {
    const found = new Map<AnswerEvent, Token[]>();
    if (this.#waiting.length === 0) return found;
    const own = events.filter(isOwnText);
    const text = this.#waiting.map(({ token }) => this.#ownText(token, own)).join('');
    let end = text.length - this.#parser.heldLength;
    for (const event of own.toReversed()) {
      const begin = Math.max(0, text.lastIndexOf(event.text, end - event.text.length));
      found.set(event, this.#give(begin, begin + event.text.length));
      end = begin;
    }
    this.#settle();
    return found;
  }

  /** What of a token may be text; nothing of a special token that is markup, and is not to be taken for the brackets in it. */
  #ownText({ id, text }: Token, events: readonly TextEvent[]): string {
    const isMarkup = this.#options.tokenizer.addedIds.has(id) && !events.some((event) => event.text.includes(text));
    return isMarkup ? '\0'.repeat(text.length) : text;
  }

  /** The tokens that have a part of the waiting text from `begin` to `end`. */
  #give(begin: number, end: number): Token[] {
    const given: Token[] = [];
    let at = 0;
    for (const waiting of this.#waiting) {
      const from = at;
      at += waiting.token.text.length;
      // A token without text of its own is the beginning of a character that the next completes.
      const isPart = from < end && (at > begin || (at === begin && from === at));
      if (!isPart || waiting.isGiven) continue;
      waiting.isGiven = true;
      given.push(waiting.token);
    }
    return given;
  }

  /** Forgets the tokens of which the parser holds nothing back. */
  #settle(): void {
    let held = this.#parser.heldLength;
    let index = this.#waiting.length;
    while (index > 0) {
      const length = this.#waiting[index - 1]?.token.text.length ?? 0;
      if (held <= 0 && length > 0) break;
      held -= length;
      index--;
    }
    this.#waiting = this.#waiting.slice(index);
  }
}

/** Whether it is text in the model's own characters. */
function isOwnText(event: AnswerEvent): event is TextEvent {
  return (event.type === 'reasoning' || event.type === 'content') && event.isTold !== true;
}

function unreachable(value: never): never {
  throw new Error(`expected a known event, got ${JSON.stringify(value)}`);
}
