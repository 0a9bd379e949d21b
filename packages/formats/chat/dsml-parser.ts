// Answers with DSML tool calls, DeepSeek-V3.2's and V4's, read as they stream.
//
// Owns the grammar of `</think>` and of DSML, forgivingly: a model makes mistakes. What the block of calls is called is
// the dialect's. However the text is divided into pushes, the events say the same; nothing is thrown and no text is lost:
// what does not fit the grammar is content.

import { dsml, thinkEnd } from '../special-tokens.ts';
import { AnswerEvents, findFirst } from './answer-events.ts';
import type { AnswerEvent, AnswerParser, Beginning, CallsTag } from './dialect.ts';

export interface DsmlParserOptions {
  readonly beginning: Beginning;
  readonly callsTag: CallsTag;
}

const callBegin = `<${dsml}invoke`;
const callEnd = `</${dsml}invoke>`;
const parameterBegin = `<${dsml}parameter`;
const parameterEnd = `</${dsml}parameter>`;

/** In a block of calls, outside of values: before the first call (`opening` is the text since content), between or in calls. */
type BlockState =
  | { readonly at: 'opening'; readonly opening: string }
  | { readonly at: 'block' }
  | { readonly at: 'call'; readonly hasParameters: boolean };

type State =
  | { readonly at: 'reasoning' }
  | { readonly at: 'content' }
  | BlockState
  | { readonly at: 'value'; readonly isString: boolean };

type Tag =
  | { readonly kind: 'block-end' | 'call-end'; readonly length: number }
  | { readonly kind: 'call'; readonly length: number; readonly name: string }
  | { readonly kind: 'parameter'; readonly length: number; readonly name: string; readonly isString: boolean };

/** Parses one assistant turn. Text goes in without its end-of-sentence token. */
export class DsmlParser implements AnswerParser {
  /** The encoders put two line breaks before the block; models forget them. Longest first. */
  readonly #blockBegins: readonly string[];
  readonly #blockEnd: string;
  readonly #events = new AnswerEvents();
  #state: State;
  /** Received, not yet understood: it may be the beginning of a tag. */
  #pending = '';

  constructor({ beginning, callsTag }: DsmlParserOptions) {
    const blockBegin = `<${dsml}${callsTag}>`;
    this.#blockBegins = [`\n\n${blockBegin}`, `\n${blockBegin}`, blockBegin];
    this.#blockEnd = `</${dsml}${callsTag}>`;
    this.#state = { at: beginning };
  }

  get isReasoning(): boolean {
    return this.#state.at === 'reasoning';
  }

  push(text: string): AnswerEvent[] {
    this.#pending += text;
    while (this.#step());
    return this.#events.take();
  }

  end(): AnswerEvent[] {
    const rest = this.#takePending(this.#pending.length);
    const state = this.#state;
    switch (state.at) {
      case 'reasoning':
      case 'content':
        this.#events.text(state.at, rest);
        break;
      case 'opening':
        this.#events.text('content', state.opening + rest);
        break;
      case 'block':
      case 'call':
        if (rest.trim() !== '') this.#events.text('content', rest);
        break;
      case 'value':
        this.#emitValue(rest, state.isString);
        break;
      default:
        unreachable(state);
    }
    return this.#events.take();
  }

  /** Understands the next piece of what is pending; false when more text is needed. */
  #step(): boolean {
    const state = this.#state;
    switch (state.at) {
      case 'reasoning':
        return this.#readText('reasoning', [thinkEnd], () => ({ at: 'content' }));
      case 'content':
        return this.#readText('content', this.#blockBegins, (opening) => ({ at: 'opening', opening }));
      case 'value':
        return this.#readValue(state.isString);
      default:
        return this.#readTag(state);
    }
  }

  #readText(type: 'reasoning' | 'content', markers: readonly string[], next: (marker: string) => State): boolean {
    const { index, marker } = findFirst(this.#pending, markers);
    this.#events.text(type, this.#takePending(index));
    if (marker === undefined) return false;
    this.#takePending(marker.length);
    this.#state = next(marker);
    return true;
  }

  #readValue(isString: boolean): boolean {
    const { index, marker } = findFirst(this.#pending, [parameterEnd]);
    // Half of a surrogate pair would be escaped as if it were alone.
    const splitsPair = marker === undefined && isString && /[\ud800-\udbff]/.test(this.#pending.charAt(index - 1));
    this.#emitValue(this.#takePending(splitsPair ? index - 1 : index), isString);
    if (marker === undefined) return false;
    this.#takePending(marker.length);
    if (isString) this.#events.callArguments('"');
    this.#state = { at: 'call', hasParameters: true };
    return true;
  }

  #readTag(state: BlockState): boolean {
    const space = /^\s*/.exec(this.#pending)?.[0].length ?? 0;
    const tag = scanTag(this.#pending.slice(space), this.#blockEnd);
    if (tag === 'unfinished') return false;
    if (tag !== 'none' && this.#enter(tag, state)) {
      this.#takePending(space + tag.length);
    } else if (state.at === 'opening') {
      this.#events.text('content', state.opening);
      this.#state = { at: 'content' };
    } else {
      // Up to the next place where a tag may begin, or the space before it.
      const stray = /^\s*\S[^<\s]*/.exec(this.#pending)?.[0].length ?? 0;
      this.#events.text('content', this.#takePending(stray));
    }
    return true;
  }

  /** Does what the tag says, or nothing and returns false where the tag has no place. */
  #enter(tag: Tag, state: BlockState): boolean {
    const hasParameters = state.at === 'call' && state.hasParameters;
    switch (tag.kind) {
      case 'call':
        // A call that was not closed ends where the next begins.
        if (state.at === 'call') this.#endCall(hasParameters);
        this.#events.startCall(tag.name);
        this.#state = { at: 'call', hasParameters: false };
        return true;
      case 'parameter':
        if (state.at !== 'call') return false;
        this.#events.callArguments(
          `${hasParameters ? ', ' : '{'}${JSON.stringify(tag.name)}: ${tag.isString ? '"' : ''}`,
        );
        this.#state = { at: 'value', isString: tag.isString };
        return true;
      case 'call-end':
        if (state.at !== 'call') return false;
        this.#endCall(hasParameters);
        this.#state = { at: 'block' };
        return true;
      case 'block-end':
        if (state.at === 'opening') return false;
        if (state.at === 'call') this.#endCall(hasParameters);
        this.#state = { at: 'content' };
        return true;
      default:
        return unreachable(tag);
    }
  }

  #endCall(hasParameters: boolean): void {
    this.#events.callArguments(hasParameters ? '}' : '{}');
    this.#events.endCall();
  }

  #emitValue(text: string, isString: boolean): void {
    this.#events.callArguments(isString ? JSON.stringify(text).slice(1, -1) : text);
  }

  #takePending(length: number): string {
    const taken = this.#pending.slice(0, length);
    this.#pending = this.#pending.slice(length);
    return taken;
  }
}

/** The tag that the text begins with, if it can be told. */
function scanTag(text: string, blockEnd: string): Tag | 'none' | 'unfinished' {
  for (const literal of [blockEnd, callEnd, callBegin, parameterBegin]) {
    if (literal.startsWith(text) && literal !== text) return 'unfinished';
    if (!text.startsWith(literal)) continue;
    if (literal === blockEnd) return { kind: 'block-end', length: literal.length };
    if (literal === callEnd) return { kind: 'call-end', length: literal.length };
    return scanAttributes(text, literal);
  }
  return 'none';
}

/** The tag up to its `>`. A parameter that does not say whether it is a string is one: its text is taken as it stands. */
function scanAttributes(text: string, literal: string): Tag | 'none' | 'unfinished' {
  let isQuoted = false;
  for (let i = literal.length; i < text.length; i++) {
    const character = text[i];
    // No tag goes over a line's end, so that a quote left open cannot hold back all that follows.
    if (character === '\n') return 'none';
    if (character === '"') isQuoted = !isQuoted;
    if (isQuoted || (character !== '<' && character !== '>')) continue;
    if (character === '<') return 'none';
    const length = i + 1;
    const attributes = /^\s+name="([^"]*)"(?:\s+string="(true|false)")?\s*$/.exec(text.slice(literal.length, i));
    if (attributes === null) return 'none';
    const [, name = '', isString] = attributes;
    if (literal === parameterBegin) return { kind: 'parameter', length, name, isString: isString !== 'false' };
    return isString === undefined ? { kind: 'call', length, name } : 'none';
  }
  return 'unfinished';
}

function unreachable(value: never): never {
  throw new Error(`expected a known case, got ${JSON.stringify(value)}`);
}
