// The chat encoding of DeepSeek-V4 read backwards: generated text to reasoning, content and tool calls, as it streams.
//
// Owns the grammar of `</think>` and of DSML tool calls, forgivingly: a model makes mistakes. Knows nothing about tokens
// or the wire. However the text is divided into pushes, the events say the same; nothing is thrown and no text is lost:
// what does not fit the grammar is content.

import { dsml, thinkEnd } from '../special-tokens.ts';
import type { AssistantMessage, ToolCall } from './message.ts';

export type ChatEvent =
  | { readonly type: 'reasoning' | 'content'; readonly text: string }
  /** Calls are numbered from 0 in the order in which they start. */
  | { readonly type: 'tool-call-start'; readonly index: number; readonly name: string }
  /** The next part of the arguments' JSON text. */
  | { readonly type: 'tool-call-arguments'; readonly index: number; readonly text: string }
  /** The arguments are complete. A call that never ends was cut off. */
  | { readonly type: 'tool-call-end'; readonly index: number };

export interface ParserOptions {
  /** The prompt ended in `<think>`, so the text begins with reasoning. */
  readonly thinking: boolean;
}

const blockBegin = `<${dsml}tool_calls>`;
/** The encoder puts two line breaks before the block; models forget them. Longest first. */
const blockBegins = [`\n\n${blockBegin}`, `\n${blockBegin}`, blockBegin];
const blockEnd = `</${dsml}tool_calls>`;
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
export class ChatParser {
  #state: State;
  /** Received, not yet understood: it may be the beginning of a tag. */
  #pending = '';
  #callCount = 0;
  #events: ChatEvent[] = [];

  constructor({ thinking }: ParserOptions) {
    this.#state = { at: thinking ? 'reasoning' : 'content' };
  }

  /** The events that `text` completes. */
  push(text: string): ChatEvent[] {
    this.#pending += text;
    while (this.#step());
    return this.#takeEvents();
  }

  /** The events of what was held back. No text may follow. */
  end(): ChatEvent[] {
    const rest = this.#takePending(this.#pending.length);
    const state = this.#state;
    switch (state.at) {
      case 'reasoning':
      case 'content':
        this.#emitText(state.at, rest);
        break;
      case 'opening':
        this.#emitText('content', state.opening + rest);
        break;
      case 'block':
      case 'call':
        if (rest.trim() !== '') this.#emitText('content', rest);
        break;
      case 'value':
        this.#emitValue(rest, state.isString);
        break;
      default:
        unreachable(state);
    }
    return this.#takeEvents();
  }

  /** Understands the next piece of what is pending; false when more text is needed. */
  #step(): boolean {
    const state = this.#state;
    switch (state.at) {
      case 'reasoning':
        return this.#readText('reasoning', [thinkEnd], () => ({ at: 'content' }));
      case 'content':
        return this.#readText('content', blockBegins, (opening) => ({ at: 'opening', opening }));
      case 'value':
        return this.#readValue(state.isString);
      default:
        return this.#readTag(state);
    }
  }

  #readText(type: 'reasoning' | 'content', markers: readonly string[], next: (marker: string) => State): boolean {
    const { index, marker } = findFirst(this.#pending, markers);
    this.#emitText(type, this.#takePending(index));
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
    if (isString) this.#emitArguments('"');
    this.#state = { at: 'call', hasParameters: true };
    return true;
  }

  #readTag(state: BlockState): boolean {
    const space = /^\s*/.exec(this.#pending)?.[0].length ?? 0;
    const tag = scanTag(this.#pending.slice(space));
    if (tag === 'unfinished') return false;
    if (tag !== 'none' && this.#enter(tag, state)) {
      this.#takePending(space + tag.length);
    } else if (state.at === 'opening') {
      this.#emitText('content', state.opening);
      this.#state = { at: 'content' };
    } else {
      // Up to the next place where a tag may begin, or the space before it.
      const stray = /^\s*\S[^<\s]*/.exec(this.#pending)?.[0].length ?? 0;
      this.#emitText('content', this.#takePending(stray));
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
        this.#events.push({ type: 'tool-call-start', index: this.#callCount++, name: tag.name });
        this.#state = { at: 'call', hasParameters: false };
        return true;
      case 'parameter':
        if (state.at !== 'call') return false;
        this.#emitArguments(`${hasParameters ? ', ' : '{'}${JSON.stringify(tag.name)}: ${tag.isString ? '"' : ''}`);
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
    this.#emitArguments(hasParameters ? '}' : '{}');
    this.#events.push({ type: 'tool-call-end', index: this.#callCount - 1 });
  }

  #emitValue(text: string, isString: boolean): void {
    this.#emitArguments(isString ? JSON.stringify(text).slice(1, -1) : text);
  }

  #emitArguments(text: string): void {
    const index = this.#callCount - 1;
    const last = this.#events.at(-1);
    if (last?.type === 'tool-call-arguments') {
      this.#events[this.#events.length - 1] = { ...last, text: last.text + text };
    } else if (text !== '') {
      this.#events.push({ type: 'tool-call-arguments', index, text });
    }
  }

  #emitText(type: 'reasoning' | 'content', text: string): void {
    const last = this.#events.at(-1);
    if (last?.type === type) this.#events[this.#events.length - 1] = { type, text: last.text + text };
    else if (text !== '') this.#events.push({ type, text });
  }

  #takePending(length: number): string {
    const taken = this.#pending.slice(0, length);
    this.#pending = this.#pending.slice(length);
    return taken;
  }

  #takeEvents(): ChatEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}

/**
 * Parses the whole text of one assistant turn. Calls have no ids yet; of a call that was cut off, the arguments are cut
 * off as well and are no valid JSON.
 */
export function parseCompletion(
  text: string,
  options: ParserOptions,
): Required<Pick<AssistantMessage, 'role' | 'content' | 'reasoning' | 'toolCalls'>> {
  const parser = new ChatParser(options);
  let content = '';
  let reasoning = '';
  const toolCalls: ToolCall[] = [];
  for (const event of [...parser.push(text), ...parser.end()]) {
    switch (event.type) {
      case 'content':
        content += event.text;
        break;
      case 'reasoning':
        reasoning += event.text;
        break;
      case 'tool-call-start':
        toolCalls.push({ id: '', name: event.name, arguments: '' });
        break;
      case 'tool-call-arguments': {
        const call = toolCalls[event.index];
        if (call !== undefined) toolCalls[event.index] = { ...call, arguments: call.arguments + event.text };
        break;
      }
      case 'tool-call-end':
        break;
      default:
        unreachable(event);
    }
  }
  return { role: 'assistant', content, reasoning, toolCalls };
}

/** The first of the markers in the text and its index; without one, the index from where a marker may have begun. */
function findFirst(text: string, markers: readonly string[]): { index: number; marker?: string } {
  let first: { index: number; marker?: string } = { index: text.length };
  for (const marker of markers) {
    const index = text.indexOf(marker);
    if (index >= 0 && index < first.index) first = { index, marker };
  }
  if (first.marker !== undefined) return first;
  const longest = Math.max(...markers.map((marker) => marker.length));
  for (let index = Math.max(0, text.length - longest + 1); index < text.length; index++) {
    const rest = text.slice(index);
    if (markers.some((marker) => marker.startsWith(rest))) return { index };
  }
  return { index: text.length };
}

/** The tag that the text begins with, if it can be told. */
function scanTag(text: string): Tag | 'none' | 'unfinished' {
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
