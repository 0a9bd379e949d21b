// From the chunks of an upstream's chat completion to the events of an answer.
//
// Owns reasoning under either of its names or in tags, calls whose parts lack what they should have, markup that the upstream's
// parser has let through, and how the answer ended. Text goes through our own parser, so the rules for what a reader sees are those
// of our own models. Calls are numbered anew, in the order in which they come.

import type { AnswerEnd, AnswerEvent, CallReading } from '@hadal/formats/chat/dialect';
import { type ChatEvent, type FinishReason, noUsage, type TokenLogprobs, type Usage } from '@hadal/protocol/chat-event';
import type { ChatRequest } from '@hadal/protocol/chat-request';
import { LeakParser } from './leak-parser.ts';
import {
  type EventReader,
  finishReasonOf,
  listOf,
  objectOf,
  readChunk,
  stopStringOf,
  textOf,
  tokenLogprobOf,
  unknownUsage,
  unreadable,
  type Wire,
} from './upstream-chunk.ts';

export interface ChatReaderOptions {
  readonly request: ChatRequest;
  /** Whether content begins in the middle of a thought, as the prompt has opened it and the upstream does not look. */
  readonly beginsInThought: boolean;
  /** A new id for a tool call. */
  readonly newCallId: (index: number) => string;
}

type Kind = 'reasoning' | 'content';

/** A run of one kind of text. */
interface Run {
  readonly kind: Kind;
  readonly parser: LeakParser;
  /** Calls that there were before it. */
  readonly callsBefore: number;
}

/** The call that is being told. */
interface OpenCall {
  readonly wireIndex: unknown;
  id: string;
  name: string;
  index: number;
  arguments: string;
  /** How many characters of the arguments have been told. */
  told: number;
}

export class ChatEventReader implements EventReader<ChatEvent> {
  readonly #options: ChatReaderOptions;
  readonly #reading: CallReading;
  hasBegun = false;
  #usage: Usage | undefined;
  #reason: FinishReason | undefined;
  #stopString: string | undefined;
  #run: Run | undefined;
  #hasThought = false;
  #callCount = 0;
  #hasCalled = false;
  #call: OpenCall | undefined;
  readonly #seen = new Set<unknown>();
  /** Of text that is held back. */
  #logprobs: TokenLogprobs[] = [];

  constructor(options: ChatReaderOptions) {
    const { tools, toolChoice } = options.request;
    this.#options = options;
    this.#reading = tools.length > 0 && toolChoice.type !== 'none' ? 'as-calls' : 'as-text';
  }

  get isOver(): boolean {
    return this.#reason !== undefined;
  }

  read(data: string): ChatEvent[] {
    const { choice, usage } = readChunk(data);
    if (usage) this.#usage = usage;
    if (choice === undefined) return [];
    // An upstream that does not stream says all of it at once.
    const delta = objectOf(choice.delta, 'delta') ?? objectOf(choice.message, 'message') ?? {};
    const reasoning = textOf(delta.reasoning_content ?? delta.reasoning, 'reasoning');
    const content = textOf(delta.content, 'content') + textOf(delta.refusal, 'refusal');
    const calls = listOf(delta.tool_calls, 'tool_calls');
    const reason = finishReasonOf(choice);
    this.hasBegun ||= reasoning !== '' || content !== '' || calls.length > 0 || reason !== undefined;
    const logprobs = this.#logprobsOf(choice);
    // vLLM tells those of reasoning as if they were of content.
    const ofReasoning = reasoning !== '' && logprobs.reasoning.length === 0 ? logprobs.content : logprobs.reasoning;
    const ofContent = reasoning !== '' && logprobs.reasoning.length === 0 ? [] : logprobs.content;
    const events = [
      ...this.#say('reasoning', reasoning, ofReasoning),
      ...this.#say('content', content, ofContent),
      ...calls.flatMap((call) => this.#readCall(call)),
    ];
    if (reason !== undefined) {
      this.#reason = reason;
      this.#stopString = stopStringOf(choice, this.#options.request.stop);
    }
    return events;
  }

  end(): ChatEvent[] {
    const reason = this.#reason ?? 'insufficient_system_resource';
    const isWhole = reason === 'stop' || reason === 'tool_calls';
    const rest = [...this.#endRun(isWhole ? 'finished' : 'cut-off'), ...this.#endCall(isWhole)];
    return [...rest, this.#finish(this.#hasCalled && isWhole ? 'tool_calls' : isWhole ? 'stop' : reason)];
  }

  leave(reason: 'aborted' | 'insufficient_system_resource', isSent: boolean): ChatEvent[] {
    if (!isSent) this.#usage = noUsage;
    return [this.#finish(reason)];
  }

  #finish(reason: FinishReason): ChatEvent {
    const usage = this.#usage ?? unknownUsage;
    return { type: 'finish', reason, usage, ...(this.#stopString !== undefined && { stopString: this.#stopString }) };
  }

  #say(kind: Kind, text: string, logprobs: readonly TokenLogprobs[]): ChatEvent[] {
    if (text === '') return [];
    const before = this.#run?.kind === kind ? [] : [...this.#endCall(true), ...this.#endRun('finished')];
    const run = this.#run ?? this.#openRun(kind);
    this.#logprobs.push(...logprobs);
    return [...before, ...this.#translate(run, run.parser.push(text))];
  }

  #openRun(kind: Kind): Run {
    const isThought = kind === 'reasoning' || (this.#options.beginsInThought && !this.#hasThought);
    this.#hasThought = true;
    const parser = new LeakParser(isThought ? 'reasoning' : 'content', this.#reading);
    this.#run = { kind, parser, callsBefore: this.#callCount };
    return this.#run;
  }

  #endRun(how: AnswerEnd): ChatEvent[] {
    const run = this.#run;
    if (run === undefined) return [];
    const events = this.#translate(run, run.parser.end(how));
    this.#run = undefined;
    this.#logprobs = [];
    return events;
  }

  #translate({ callsBefore }: Run, events: readonly AnswerEvent[]): ChatEvent[] {
    return events.flatMap((event): ChatEvent[] => {
      switch (event.type) {
        case 'reasoning':
        case 'content': {
          const logprobs = this.#logprobs;
          this.#logprobs = [];
          return [{ type: event.type, text: event.text, logprobs }];
        }
        case 'tool-call-start': {
          const index = callsBefore + event.index;
          this.#callCount = index + 1;
          // Those of markup are nobody's.
          this.#logprobs = [];
          return [{ type: 'tool-call', index, id: this.#options.newCallId(index), name: event.name }];
        }
        case 'tool-call-arguments':
          this.#logprobs = [];
          return [{ type: 'tool-call-arguments', index: callsBefore + event.index, text: event.text }];
        case 'tool-call-end':
          this.#hasCalled = true;
          return [];
        default:
          return event satisfies never;
      }
    });
  }

  /** A part of a call. Without a number it is the last one's, unless it names another. */
  #readCall(wire: Wire): ChatEvent[] {
    const of = objectOf(wire.function, 'function') ?? {};
    const id = textOf(wire.id, 'the id of a call');
    const name = textOf(of.name, 'the name of a call');
    // Some servers parse the arguments.
    const text =
      typeof of.arguments === 'object' && of.arguments !== null ? JSON.stringify(of.arguments) : of.arguments;
    const before: ChatEvent[] = [];
    let call = this.#call;
    if (call === undefined || isAnother(call, wire.index, id, name)) {
      if (wire.index !== undefined && id === '' && name === '' && this.#seen.has(wire.index)) {
        throw unreadable('a call that goes on after another has begun', wire.index);
      }
      before.push(...this.#endRun('finished'), ...this.#endCall(true));
      call = { wireIndex: wire.index, id, name, index: -1, arguments: '', told: 0 };
      this.#call = call;
      this.#seen.add(wire.index);
    }
    call.id ||= id;
    call.name ||= name;
    call.arguments += textOf(text, 'the arguments of a call');
    return [...before, ...this.#tell(call)];
  }

  /** What has not been told of a call, once its name is known. */
  #tell(call: OpenCall): ChatEvent[] {
    if (call.name === '') return [];
    const events: ChatEvent[] = [];
    const isText = this.#reading === 'as-text';
    if (call.index < 0) {
      call.index = isText ? 0 : this.#callCount++;
      const { index, name } = call;
      events.push(
        isText
          ? { type: 'content', text: `${name}(`, logprobs: [] }
          : { type: 'tool-call', index, id: call.id === '' ? this.#options.newCallId(index) : call.id, name },
      );
    }
    const text = call.arguments.slice(call.told);
    call.told = call.arguments.length;
    if (text === '') return events;
    events.push(
      isText ? { type: 'content', text, logprobs: [] } : { type: 'tool-call-arguments', index: call.index, text },
    );
    return events;
  }

  #endCall(isWhole: boolean): ChatEvent[] {
    const call = this.#call;
    if (call === undefined) return [];
    this.#call = undefined;
    if (call.name === '') throw unreadable('a call without a name', call.id);
    if (!isWhole) return [];
    // No arguments are an empty object to whoever reads them as JSON.
    if (call.arguments === '') call.arguments = '{}';
    const rest = this.#tell(call);
    if (this.#reading === 'as-text') return [...rest, { type: 'content', text: ')', logprobs: [] }];
    this.#hasCalled = true;
    return rest;
  }

  #logprobsOf(choice: Wire): Record<Kind, TokenLogprobs[]> {
    const { topLogprobs } = this.#options.request;
    const wire = topLogprobs === undefined ? undefined : objectOf(choice.logprobs, 'logprobs');
    const read = (name: string) =>
      listOf(wire?.[name], 'logprobs').map((item) => ({
        ...tokenLogprobOf(item),
        top: listOf(item.top_logprobs, 'top_logprobs').slice(0, topLogprobs).map(tokenLogprobOf),
      }));
    return { content: read('content'), reasoning: read('reasoning_content') };
  }
}

function isAnother(call: OpenCall, wireIndex: unknown, id: string, name: string): boolean {
  if (wireIndex !== undefined && wireIndex !== call.wireIndex) return true;
  if (id !== '' && call.id !== '' && id !== call.id) return true;
  if (name === '' || call.name === '') return false;
  // A server that repeats the name in each part repeats the id or the number, too.
  return name !== call.name || (wireIndex === undefined && id === '');
}
