// Answers of V3, R1 and V3.1, and of what was distilled from them, read as they stream.
//
// Owns the grammar of `<think>` and of the tool calls that are marked with special tokens, in both forms there are:
// `function<sep>NAME`, then JSON in a code fence (V3, R1), and `NAME<sep>JSON` (V3.1). Forgiving, for a model makes
// mistakes: what does not fit is content, save special tokens, which are nobody's text. These models pad their reasoning and the
// beginning of what follows with line breaks, which belong to neither.

import {
  thinkBegin,
  thinkEnd,
  toolCallBegin,
  toolCallEnd,
  toolCallsBegin,
  toolCallsEnd,
  toolSeparator,
} from '../special-tokens.ts';
import { AnswerEvents, controlMarks, findFirst, heldArgument, trimPadding, withoutMarkPart } from './answer-events.ts';
import type { AnswerEnd, AnswerEvent, AnswerParser, Beginning, CallReading } from './dialect.ts';
import { JsonEnd } from './json-end.ts';

const marksInThought = [...controlMarks, thinkEnd];

/** What ends a call's arguments; in a string of theirs, they are text. */
const argumentEnds = [toolCallEnd, toolCallsEnd, toolCallBegin];

/** The type that the first form names before the name itself. */
const callType = 'function';
const fence = '```json';
/** What does not end within so many characters is no name. */
const maxName = 500;

/**
 * `beginning`: before anything but space, where the tags of a thought may still come. `calls`: in a block, outside of calls.
 * `head`: a call up to its separator. `name`: after the separator, up to where the arguments may begin. `fence`: before the
 * arguments' first character. `arguments`: in them. `tail`: after them, where the fence is closed.
 */
type State = 'beginning' | 'text' | 'calls' | 'head' | 'name' | 'fence' | 'arguments' | 'tail';

/** Parses one assistant turn. Text goes in without its end-of-sentence token. */
export class DeepseekV3Parser implements AnswerParser {
  readonly #calls: CallReading;
  readonly #events: AnswerEvents;
  #state: State = 'beginning';
  /** What text is. */
  #saying: Beginning;
  /** Whether a call has ended the reasoning, of which the closing tag may still come. */
  #mayCloseLater = false;
  /** Whether all space goes until something else comes. */
  #skipsSpace = true;
  #json = new JsonEnd(argumentEnds);
  #hasArguments = false;
  /** Received, not yet understood. */
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
    this.#endRest(this.#take(this.#pending.length), how);
    if (how === 'finished' && this.#state === 'fence') this.#endCall();
    return this.#events.take();
  }

  /** What was held back. */
  #endRest(rest: string, how: AnswerEnd): void {
    switch (this.#state) {
      case 'beginning':
      case 'text':
      case 'calls': {
        const text = withoutMarkPart(rest);
        this.#events.text(this.#saying, this.isReasoning || this.#state === 'calls' ? trimPadding(text) : text);
        break;
      }
      case 'head':
      case 'name':
        // A name that was cut off is no text.
        if (how === 'finished') this.#events.text(this.#saying, withoutMarkPart(rest).trimEnd());
        break;
      case 'arguments': {
        const { index } = findFirst(rest, argumentEnds);
        const text = rest.slice(0, index) + heldArgument(rest.slice(index), how);
        this.#events.callArguments(text.replace(fenceAtEnd, ''));
        break;
      }
      case 'fence':
      case 'tail':
        break;
      default:
        unreachable(this.#state);
    }
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
      case 'text':
      case 'calls':
        return this.#readText();
      case 'head':
        return this.#readHead();
      case 'name':
        return this.#readName();
      case 'fence':
        return this.#readFence();
      case 'arguments':
        return this.#readArguments();
      case 'tail':
        return this.#readTail();
      default:
        return unreachable(this.#state);
    }
  }

  #begin(): boolean {
    const tags = this.isReasoning ? [thinkBegin] : [thinkBegin, thinkEnd];
    const { index, marker } = findFirst(this.#pending, tags);
    if (index === 0 && marker === undefined && !this.#end) return false;
    if (index === 0 && marker !== undefined) this.#take(marker.length);
    if (index === 0 && marker === thinkBegin) this.#saying = 'reasoning';
    return this.#enter('text');
  }

  /** In text, and between calls. Space after reasoning, and before a mark between calls, is nobody's. */
  #readText(): boolean {
    const { index, marker } = findFirst(
      this.#pending,
      this.isReasoning || this.#mayCloseLater ? marksInThought : controlMarks,
    );
    const before = this.#pending.slice(0, index);
    const text = this.isReasoning || this.#state === 'calls' ? trimPadding(before) : before;
    if (text !== '') this.#skipsSpace = false;
    this.#events.text(this.#saying, text);
    this.#take(marker === undefined ? text.length : index);
    if (marker === undefined) return false;
    if (marker !== thinkEnd) return this.#pass(marker, this.#state === 'calls' ? 'calls' : 'text');
    this.#take(marker.length);
    this.#saying = 'content';
    this.#mayCloseLater = false;
    this.#skipsSpace = true;
    this.#state = 'text';
    return true;
  }

  #readHead(): boolean {
    const { index, marker } = findFirst(this.#pending, controlMarks);
    if (index > maxName) return this.#enter('calls');
    if (marker === undefined) return false;
    const head = this.#pending.slice(0, index);
    const name = head.trim();
    if (marker !== toolSeparator) {
      this.#events.text(this.#saying, name === '' ? '' : head);
      this.#take(index);
      return this.#pass(marker, 'calls');
    }
    this.#take(index + marker.length);
    if (name === callType || name === '') return this.#enter('name');
    return this.#startCall(name);
  }

  #readName(): boolean {
    const end = /[\n`{]/.exec(this.#pending)?.index ?? Number.POSITIVE_INFINITY;
    const { index, marker } = findFirst(this.#pending, controlMarks);
    if (Math.min(end, index) > maxName) return this.#enter('calls');
    if (marker === undefined && end >= index) return false;
    const name = this.#take(Math.min(end, index)).trim();
    // The second form, of a function that is itself called `function`.
    if (name === '' && end < index) return this.#startCall(callType);
    if (name !== '') return this.#startCall(name);
    return this.#pass(marker ?? '', 'calls');
  }

  #startCall(name: string): boolean {
    // A model that forgets `</think>` before its calls has stopped reasoning all the same.
    if (this.#calls === 'as-calls' && this.isReasoning) {
      this.#saying = 'content';
      this.#mayCloseLater = true;
    }
    this.#events.startCall(name, this.#saying);
    this.#hasArguments = false;
    this.#json = new JsonEnd(argumentEnds);
    return this.#enter('fence');
  }

  #readFence(): boolean {
    if (fence.startsWith(this.#pending)) return false;
    const opening = this.#pending.startsWith(fence) ? fence : (/^`{1,3}/.exec(this.#pending)?.[0] ?? '');
    this.#take(opening.length);
    return this.#enter('arguments');
  }

  #readArguments(): boolean {
    const found = this.#end ? this.#json.finish(this.#pending, this.#end) : this.#json.find(this.#pending);
    const isOpen = found.type === 'open';
    const known = this.#pending.slice(0, found.length);
    const text = found.type === 'whole' ? known : known.replace(isOpen ? fencePart : fenceAtEnd, '');
    if (text !== '') {
      this.#hasArguments = true;
      this.#skipsSpace = false;
    }
    this.#events.callArguments(text);
    const taken = isOpen ? text.length : found.length;
    this.#take(taken);
    this.#json.take(taken);
    if (isOpen) return false;
    this.#endCall();
    return this.#enter('tail');
  }

  #endCall(): void {
    if (!this.#hasArguments) this.#events.callArguments('{}');
    this.#events.endCall();
  }

  #readTail(): boolean {
    this.#pending = this.#pending.replace(/^[\s`]+/, '');
    return this.#pending !== '' && this.#enter('calls');
  }

  /** Goes over the mark that is next, into the state it opens, or into `otherwise` where it has no place. */
  #pass(mark: string, otherwise: 'text' | 'calls'): boolean {
    this.#take(mark.length);
    switch (mark) {
      case toolCallsBegin:
        return this.#enter('calls');
      case toolCallBegin:
        return this.#enter('head');
      case toolCallsEnd:
        return this.#enter('text');
      default:
        return this.#enter(otherwise);
    }
  }

  #enter(state: State): true {
    // Only where text goes on in the middle does space mean something from the first character.
    this.#skipsSpace = !(state === 'text' && this.#state === 'text');
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

function unreachable(value: never): never {
  throw new Error(`expected a known case, got ${JSON.stringify(value)}`);
}
