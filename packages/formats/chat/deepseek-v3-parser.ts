// Answers of V3, R1 and V3.1, and of what was distilled from them, read as they stream.
//
// Owns the grammar of `<think>` and of the tool calls that are marked with special tokens, in both forms there are:
// `function<sep>NAME`, then JSON in a code fence (V3, R1), and `NAME<sep>JSON` (V3.1). Forgiving, for a model makes
// mistakes: what does not fit is content, save the marks themselves, which are nobody's text. These models pad their
// reasoning and the beginning of what follows with line breaks, which belong to neither.

import {
  thinkBegin,
  thinkEnd,
  toolCallBegin,
  toolCallEnd,
  toolCallsBegin,
  toolCallsEnd,
  toolSeparator,
} from '../special-tokens.ts';
import { AnswerEvents, findFirst } from './answer-events.ts';
import type { AnswerEvent, AnswerParser, Beginning } from './dialect.ts';

const marks = [toolCallsBegin, toolCallBegin, toolSeparator, toolCallEnd, toolCallsEnd] as const;
type Mark = (typeof marks)[number];

/** What ends a call's arguments; the other marks may stand in a string of theirs. */
const argumentEnds = [toolCallEnd, toolCallsEnd, toolCallBegin] as const;

/** The type that the first form names before the name itself. */
const callType = 'function';

/**
 * `beginning`: before anything but space, where `<think>` may still come. `calls`: in a block, outside of calls. `head`:
 * a call up to its separator. `name`: after the separator, up to where the arguments may begin. `fence`: before the
 * arguments' first character. `arguments`: in them.
 */
type State = 'beginning' | 'reasoning' | 'content' | 'calls' | 'head' | 'name' | 'fence' | 'arguments';

/** Parses one assistant turn. Text goes in without its end-of-sentence token. */
export class DeepseekV3Parser implements AnswerParser {
  readonly #events = new AnswerEvents();
  #state: State;
  /** Whether all space goes until something else comes. */
  #skipsSpace = true;
  #hasArguments = false;
  /** Received, not yet understood. */
  #pending = '';

  constructor(beginning: Beginning) {
    this.#state = beginning === 'reasoning' ? 'reasoning' : 'beginning';
  }

  get isReasoning(): boolean {
    return this.#state === 'reasoning';
  }

  push(text: string): AnswerEvent[] {
    this.#pending += text;
    while (this.#step());
    return this.#events.take();
  }

  end(): AnswerEvent[] {
    const rest = this.#take(this.#pending.length);
    switch (this.#state) {
      case 'reasoning':
        this.#events.text('reasoning', rest.trimEnd());
        break;
      case 'beginning':
      case 'content':
        this.#events.text('content', rest);
        break;
      case 'calls':
      case 'head':
      case 'name':
        if (rest.trim() !== '') this.#events.text('content', rest);
        break;
      case 'fence':
        this.#events.callArguments(rest.replace(/^`+/, ''));
        break;
      case 'arguments':
        this.#events.callArguments(rest.replace(fenceAtEnd, ''));
        break;
      default:
        unreachable(this.#state);
    }
    return this.#events.take();
  }

  /** Understands the next piece of what is pending; false when more text is needed. */
  #step(): boolean {
    if (this.#skipsSpace) {
      this.#pending = this.#pending.trimStart();
      if (this.#pending === '') return false;
    }
    switch (this.#state) {
      case 'beginning':
        return this.#begin();
      case 'reasoning':
        return this.#readReasoning();
      case 'content':
        return this.#readContent();
      case 'calls':
        return this.#readBetweenCalls();
      case 'head':
        return this.#readHead();
      case 'name':
        return this.#readName();
      case 'fence':
        return this.#readFence();
      case 'arguments':
        return this.#readArguments();
      default:
        return unreachable(this.#state);
    }
  }

  #begin(): boolean {
    if (this.#pending.length < thinkBegin.length && thinkBegin.startsWith(this.#pending)) return false;
    const thinks = this.#pending.startsWith(thinkBegin);
    if (thinks) this.#take(thinkBegin.length);
    return this.#enter(thinks ? 'reasoning' : 'content');
  }

  #readReasoning(): boolean {
    // A model that forgets `</think>` before its calls has stopped reasoning all the same.
    const { index, marker } = findFirst(this.#pending, [thinkEnd, toolCallsBegin]);
    const text = this.#pending.slice(0, index).trimEnd();
    if (text !== '') this.#skipsSpace = false;
    this.#events.text('reasoning', text);
    this.#take(marker === undefined ? text.length : index + (marker === thinkEnd ? marker.length : 0));
    return marker !== undefined && this.#enter('content');
  }

  #readContent(): boolean {
    const { index, mark } = findMark(this.#pending, marks);
    if (index > 0) this.#skipsSpace = false;
    this.#events.text('content', this.#take(index));
    return mark !== undefined && this.#pass(mark, 'content');
  }

  #readBetweenCalls(): boolean {
    const { index, mark } = findMark(this.#pending, marks);
    const text = this.#pending.slice(0, index).trimEnd();
    if (text !== '') this.#skipsSpace = false;
    this.#events.text('content', text);
    this.#take(mark === undefined ? text.length : index);
    return mark !== undefined && this.#pass(mark, 'calls');
  }

  #readHead(): boolean {
    const { index, mark } = findMark(this.#pending, marks);
    if (mark === undefined) return false;
    const head = this.#pending.slice(0, index);
    const name = head.trim();
    if (mark !== toolSeparator) {
      this.#events.text('content', name === '' ? '' : head);
      this.#take(index);
      return this.#pass(mark, 'calls');
    }
    this.#take(index + mark.length);
    if (name === callType || name === '') return this.#enter('name');
    return this.#startCall(name);
  }

  #readName(): boolean {
    const end = /[\n`{]/.exec(this.#pending)?.index ?? Number.POSITIVE_INFINITY;
    const { index, mark } = findMark(this.#pending, marks);
    if (mark === undefined && end >= index) return false;
    const name = this.#take(Math.min(end, index)).trim();
    // The second form, of a function that is itself called `function`.
    if (name === '' && end < index) return this.#startCall(callType);
    if (name !== '') return this.#startCall(name);
    return this.#pass(mark as Mark, 'calls');
  }

  #startCall(name: string): boolean {
    this.#events.startCall(name);
    this.#hasArguments = false;
    return this.#enter('fence');
  }

  #readFence(): boolean {
    const fence = '```json';
    if (fence.startsWith(this.#pending)) return false;
    const opening = this.#pending.startsWith(fence) ? fence : (/^`{1,3}/.exec(this.#pending)?.[0] ?? '');
    this.#take(opening.length);
    return this.#enter('arguments');
  }

  #readArguments(): boolean {
    const { index, mark } = findMark(this.#pending, argumentEnds);
    const text = this.#pending.slice(0, index).replace(mark === undefined ? fencePart : fenceAtEnd, '');
    if (text !== '') {
      this.#hasArguments = true;
      this.#skipsSpace = false;
    }
    this.#events.callArguments(text);
    if (mark === undefined) {
      this.#take(text.length);
      return false;
    }
    this.#take(index);
    if (!this.#hasArguments) this.#events.callArguments('{}');
    this.#events.endCall();
    return this.#pass(mark, 'calls');
  }

  /** Goes over the mark that is next, into the state it opens, or into `otherwise` where it has no place. */
  #pass(mark: Mark, otherwise: 'content' | 'calls'): boolean {
    this.#take(mark.length);
    switch (mark) {
      case toolCallsBegin:
        return this.#enter('calls');
      case toolCallBegin:
        return this.#enter('head');
      case toolCallEnd:
      case toolSeparator:
        return this.#enter(otherwise);
      case toolCallsEnd:
        return this.#enter('content');
      default:
        return unreachable(mark);
    }
  }

  #enter(state: State): true {
    // Only where text goes on in the middle does space mean something from the first character.
    this.#skipsSpace = !(state === 'content' && this.#state === 'content');
    this.#state = state;
    return true;
  }

  #take(length: number): string {
    const taken = this.#pending.slice(0, length);
    this.#pending = this.#pending.slice(length);
    return taken;
  }
}

/** The fence that closes the first form's arguments, and what may be the beginning of one. */
const fenceAtEnd = /\s*(?:```\s*)?$/;
const fencePart = /\s*`{0,3}\s*$/;

function findMark<M extends Mark>(text: string, among: readonly M[]): { index: number; mark: M | undefined } {
  const { index, marker } = findFirst(text, among);
  return { index, mark: among.find((mark) => mark === marker) };
}

function unreachable(value: never): never {
  throw new Error(`expected a known case, got ${JSON.stringify(value)}`);
}
