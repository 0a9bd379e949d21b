// Answers with DSML tool calls, DeepSeek-V3.2's, V4's and V4.1's, read as they stream.
//
// Owns the grammar of `</think>` and of DSML, forgivingly: a model makes mistakes, among them the tags of another dialect, calls
// without a block and blocks without an end. However the text is divided into pushes, the events say the same; nothing is
// thrown. Tags that have no place are dropped, the text between them is content.

import { dsml, thinkBegin, thinkEnd } from '../special-tokens.ts';
import {
  AnswerEvents,
  controlMarks,
  findFirst,
  heldArgument,
  maxPadding,
  trimPadding,
  withoutMarkPart,
} from './answer-events.ts';
import type { AnswerEnd, AnswerEvent, AnswerParser, Beginning, CallReading } from './dialect.ts';
import { type DsmlTag, readTag, tagBegins, tagEnds } from './dsml-tag.ts';
import { JsonEnd } from './json-end.ts';

/** The encoders put two line breaks before a block; models forget them. Longest first. */
const tagMarkers = ['\n\n', '\n', ''].flatMap((breaks) => tagBegins.map((begin) => breaks + begin));
const markers = [...tagMarkers, dsml, ...controlMarks];
const markersInThought = [...markers, thinkEnd];

/**
 * `beginning`: before anything but space, where the tags of a thought may still be repeated. `opening`: after a block's tag, before
 * its first call, without which it is none. `block`: after a call. `call`: in a call, outside of values. `string`, `json`: in a
 * value.
 */
type State =
  | { readonly at: 'beginning' | 'text' | 'opening' | 'block' }
  | { readonly at: 'call'; readonly hasParameters: boolean }
  | { readonly at: 'string'; readonly end: string }
  | { readonly at: 'json'; readonly json: JsonEnd };

/** Parses one assistant turn. Text goes in without its end-of-sentence token. */
export class DsmlParser implements AnswerParser {
  readonly #calls: CallReading;
  readonly #events: AnswerEvents;
  #state: State = { at: 'beginning' };
  /** What text is. */
  #saying: Beginning;
  /** Whether a call has ended the reasoning, of which the closing tag may still come. */
  #mayCloseLater = false;
  /** Received, not yet understood: it may be the beginning of a tag. */
  #pending = '';
  #end: AnswerEnd | undefined;

  constructor(beginning: Beginning, calls: CallReading = 'as-calls') {
    this.#saying = beginning;
    this.#calls = calls;
    this.#events = new AnswerEvents(calls);
  }

  get isReasoning(): boolean {
    return this.#saying === 'reasoning';
  }

  get heldLength(): number {
    return this.#pending.length;
  }

  push(text: string): AnswerEvent[] {
    this.#pending += text;
    while (this.#step());
    return this.#events.take();
  }

  end(how: AnswerEnd = 'cut-off'): AnswerEvent[] {
    this.#end = how;
    while (this.#step());
    if (how === 'finished') {
      // What the model takes for a whole call is one.
      if (this.#state.at === 'string') this.#endString();
      if (this.#state.at === 'call') this.#endCall(this.#state.hasParameters);
    }
    return this.#events.take();
  }

  /** Understands the next piece of what is pending; false when more text is needed, or nothing is left. */
  #step(): boolean {
    if (this.#end && this.#pending === '') return false;
    const state = this.#state;
    switch (state.at) {
      case 'beginning':
        return this.#begin();
      case 'string':
        return this.#readString(state.end);
      case 'json':
        return this.#readJson(state.json);
      case 'opening':
        return this.#readOpening();
      default:
        return this.#readText();
    }
  }

  #begin(): boolean {
    const text = this.#pending.trimStart();
    const tags = this.#saying === 'reasoning' ? [thinkBegin] : [thinkBegin, thinkEnd];
    const { index, marker } = findFirst(text, tags);
    if (index === 0 && marker === undefined && !this.#end) return false;
    if (index === 0 && marker !== undefined) {
      this.#take(this.#pending.length - text.length + marker.length);
      if (marker === thinkBegin) this.#saying = 'reasoning';
    }
    this.#state = { at: 'text' };
    return true;
  }

  /** In text, and in a block or call outside of values, where space between tags is nobody's. */
  #readText(): boolean {
    const isBetweenTags = this.#state.at !== 'text';
    const { index, marker } = this.#findMarker();
    const before = this.#pending.slice(0, index);
    const text = isBetweenTags ? trimPadding(before) : before;
    this.#events.text(this.#saying, text);
    if (marker === undefined) {
      this.#take(text.length);
      if (this.#end) this.#events.text(this.#saying, this.#endOfText(isBetweenTags));
      return false;
    }
    this.#take(index);
    if (!tagMarkers.includes(marker)) {
      this.#take(marker.length);
      if (marker === thinkEnd) this.#endReasoning();
      return true;
    }
    const breaks = marker.indexOf('<');
    const tag = readTag(this.#pending.slice(breaks));
    if (tag === 'unfinished') {
      if (this.#end) this.#take(this.#pending.length);
      return false;
    }
    this.#take(breaks + tag.length);
    this.#enter(tag);
    return true;
  }

  /** A block is one if a call follows its tag; else the tag is dropped and the text goes on. */
  #readOpening(): boolean {
    const { index, marker } = this.#findMarker();
    if (index <= maxPadding && this.#pending.slice(0, index).trim() === '') {
      if (marker === undefined && !this.#end) return false;
      if (marker === undefined && this.#pending.trim() === '') this.#take(this.#pending.length);
      if (marker !== undefined && tagMarkers.includes(marker)) {
        const tag = readTag(this.#pending.slice(index + marker.indexOf('<')));
        if (tag === 'unfinished' && !this.#end) return false;
        if (tag !== 'unfinished' && tag.kind === 'call') {
          this.#take(index + marker.indexOf('<') + tag.length);
          this.#enter(tag);
          return true;
        }
      }
    }
    this.#state = { at: 'text' };
    return true;
  }

  #readString(end: string): boolean {
    const { index, marker } = findFirst(this.#pending, tagEnds);
    if (marker === undefined) {
      // Half of a surrogate pair would be escaped as if it were alone.
      const splitsPair = /[\ud800-\udbff]/.test(this.#pending.charAt(index - 1));
      this.#emitString(this.#take(splitsPair ? index - 1 : index));
      if (this.#end) this.#emitString(heldArgument(this.#take(this.#pending.length), this.#end));
      return false;
    }
    if (marker === end) {
      this.#emitString(this.#take(index));
      this.#take(marker.length);
      this.#endString();
      return true;
    }
    // The end of something else is text in a value, unless the model ends with it: then the value's own was forgotten.
    this.#emitString(this.#take(index));
    const rest = this.#pending.slice(lengthOfRun(this.#pending, end));
    const mayBeLast = !rest.startsWith(end) && tagEnds.some((tag) => tag.startsWith(rest));
    if (mayBeLast && this.#end !== 'finished') {
      if (this.#end) this.#take(this.#pending.length);
      return false;
    }
    if (!mayBeLast) this.#emitString(this.#take(1));
    else this.#endString();
    return true;
  }

  #readJson(json: JsonEnd): boolean {
    const found = this.#end ? json.finish(this.#pending, this.#end) : json.find(this.#pending);
    this.#events.callArguments(this.#take(found.length));
    json.take(found.length);
    if (found.type === 'open') {
      if (this.#end) this.#events.callArguments(heldArgument(this.#take(this.#pending.length), this.#end));
      return false;
    }
    this.#state = { at: 'call', hasParameters: true };
    return true;
  }

  #findMarker(): { index: number; marker?: string } {
    return findFirst(this.#pending, this.isReasoning || this.#mayCloseLater ? markersInThought : markers);
  }

  #enter(tag: DsmlTag): void {
    const state = this.#state;
    switch (tag.kind) {
      case 'block':
        if (state.at === 'text') this.#state = { at: 'opening' };
        break;
      case 'call':
        // A call that was not closed ends where the next begins.
        if (state.at === 'call') this.#endCall(state.hasParameters);
        this.#startCall(tag.name);
        break;
      case 'parameter':
        if (state.at === 'call') this.#startParameter(tag, state.hasParameters);
        break;
      case 'call-end':
      case 'block-end':
        if (state.at === 'call') this.#endCall(state.hasParameters);
        break;
      case 'parameter-end':
      case 'unknown':
        break;
      default:
        unreachable(tag);
    }
  }

  #startCall(name: string): void {
    // A model that forgets `</think>` before its calls has stopped reasoning all the same.
    if (this.#calls === 'as-calls' && this.isReasoning) {
      this.#saying = 'content';
      this.#mayCloseLater = true;
    }
    this.#events.startCall(name, this.#saying);
    this.#state = { at: 'call', hasParameters: false };
  }

  #startParameter({ name, isString, end }: Extract<DsmlTag, { kind: 'parameter' }>, isNext: boolean): void {
    this.#events.callArguments(`${isNext ? ', ' : '{'}${JSON.stringify(name)}: ${isString ? '"' : ''}`);
    this.#state = isString ? { at: 'string', end } : { at: 'json', json: new JsonEnd(tagBegins) };
  }

  #endString(): void {
    this.#events.callArguments('"');
    this.#state = { at: 'call', hasParameters: true };
  }

  #endCall(hasParameters: boolean): void {
    this.#events.callArguments(hasParameters ? '}' : '{}');
    this.#events.endCall();
    this.#state = { at: 'block' };
  }

  #endReasoning(): void {
    if (this.#state.at === 'call') this.#endCall(this.#state.hasParameters);
    this.#saying = 'content';
    this.#mayCloseLater = false;
    this.#state = { at: 'text' };
  }

  /** What was held back, at the end. */
  #endOfText(isBetweenTags: boolean): string {
    const rest = withoutMarkPart(this.#take(this.#pending.length));
    return isBetweenTags ? trimPadding(rest) : rest;
  }

  #emitString(text: string): void {
    this.#events.callArguments(JSON.stringify(text).slice(1, -1));
  }

  #take(length: number): string {
    const taken = this.#pending.slice(0, length);
    this.#pending = this.#pending.slice(length);
    return taken;
  }
}

/** How long the run of closing tags is that the text begins with, each with the space after it, up to one that is `end`. */
function lengthOfRun(text: string, end: string): number {
  let length = 0;
  for (;;) {
    const tag = text.startsWith(end, length) ? undefined : tagEnds.find((each) => text.startsWith(each, length));
    if (tag === undefined) return length;
    length += tag.length;
    length += /^\s*/.exec(text.slice(length))?.[0].length ?? 0;
  }
}

function unreachable(value: never): never {
  throw new Error(`expected a known case, got ${JSON.stringify(value)}`);
}
