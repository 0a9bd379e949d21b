// Reads the text of an answer that another server has parsed already, for what it has left in it.
//
// Owns the choice between the two grammars of DeepSeek's calls, made when the first mark of one comes: DSML (V3.2 to V4.1), and the
// special tokens of V3 and R1. Text without marks passes as it is. The rules for what a reader may see are the parsers'.

import { findFirst } from '@hadal/formats/chat/answer-events';
import { DeepseekV3Parser } from '@hadal/formats/chat/deepseek-v3-parser';
import type { AnswerEnd, AnswerEvent, AnswerParser, Beginning, CallReading } from '@hadal/formats/chat/dialect';
import { DsmlParser } from '@hadal/formats/chat/dsml-parser';
import { toolCallBegin, toolCallsBegin } from '@hadal/formats/special-tokens';

const callMarks = [toolCallsBegin, toolCallBegin];

export class LeakParser implements AnswerParser {
  readonly #calls: CallReading;
  readonly #dsml: DsmlParser;
  #marked: DeepseekV3Parser | undefined;
  /** Calls of the first grammar, before those of the second. */
  #callCount = 0;
  /** What may be the beginning of a mark. */
  #pending = '';

  constructor(beginning: Beginning, calls: CallReading) {
    this.#calls = calls;
    this.#dsml = new DsmlParser(beginning, calls);
  }

  get isReasoning(): boolean {
    return (this.#marked ?? this.#dsml).isReasoning;
  }

  get heldLength(): number {
    return this.#pending.length + this.#dsml.heldLength + (this.#marked?.heldLength ?? 0);
  }

  push(text: string): AnswerEvent[] {
    if (this.#marked) return this.#numbered(this.#marked.push(text));
    this.#pending += text;
    // In a call of DSML such a mark is a part of its arguments.
    const { index, marker } =
      this.#callCount > 0 ? { index: this.#pending.length } : findFirst(this.#pending, callMarks);
    const events = this.#counted(this.#dsml.push(this.#pending.slice(0, index)));
    this.#pending = this.#pending.slice(index);
    if (marker === undefined || this.#callCount > 0) return events;
    events.push(...this.#counted(this.#dsml.end('finished')));
    this.#marked = new DeepseekV3Parser(this.#dsml.isReasoning ? 'reasoning' : 'content', this.#calls);
    const rest = this.#pending;
    this.#pending = '';
    return [...events, ...this.#numbered(this.#marked.push(rest))];
  }

  end(how?: AnswerEnd): AnswerEvent[] {
    if (this.#marked) return this.#numbered(this.#marked.end(how));
    return [...this.#dsml.push(this.#pending), ...this.#dsml.end(how)];
  }

  #counted(events: AnswerEvent[]): AnswerEvent[] {
    this.#callCount += events.filter(({ type }) => type === 'tool-call-start').length;
    return events;
  }

  #numbered(events: AnswerEvent[]): AnswerEvent[] {
    return events.map((event) => ('index' in event ? { ...event, index: event.index + this.#callCount } : event));
  }
}
