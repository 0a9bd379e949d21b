// What is to be done for one call that a model answers.
//
// Owns the common form that every dialect brings its calls into: answers to wait for, and how they are written, whole or as an
// event stream. Knows no connection: a plan may be carried out over HTTP or for a line of a batch. Knows no dialect either:
// what an event looks like on the wire is its endpoint's.

import type { BatchDetails } from '@hadal/protocol/batches';
import type { Usage } from '@hadal/protocol/chat-event';
import { errorEnvelope } from '@hadal/protocol/error-envelope';
import type { RequestError } from '@hadal/protocol/request-error';
import type { OperationId } from '@hadal/protocol/routes';
import type { Delivery } from '@hadal/protocol/sampling-fields';
import type { Store } from '@hadal/store/store';
import type { Account, Accounts } from './accounts.ts';
import { type Answer, type AnswerEvent, leaveAll, mergeChoices, type NumberedEvent } from './choices.ts';
import type { FileLimits } from './files-endpoints.ts';
import type { JobChanges } from './job-changes.ts';
import { type Charge, meteredAnswers } from './metered-answers.ts';
import type { Metrics } from './metrics.ts';
import type { Models } from './model-source.ts';
import type { Trainer } from './trainer.ts';

/** What every endpoint that answers with a model's words is given. */
export interface EndpointOptions {
  readonly models: Models;
  readonly store: Store<BatchDetails>;
  readonly fileLimits: FileLimits;
  readonly accounts: Accounts;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Aborts when the server stops: for what goes on without its caller. */
  readonly stopping: AbortSignal;
  readonly newId: () => string;
  readonly metrics: Metrics;
  /** Whether they can be read among everything else. */
  readonly servesMetrics: boolean;
  readonly jobChanges: JobChanges;
  /** undefined: nothing is trained here. */
  readonly trainer: Trainer | undefined;
  /** Hears of jobs that callers have ended. */
  readonly onJobOver: () => void;
}

/** One call, whatever brought it. */
export interface Call {
  /** Of the request, and as far as its dialect allows of the answer. */
  readonly id: string;
  /** Whose call it is, and who pays for it. */
  readonly account: Account;
  readonly body: unknown;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** The error to show for a failure; logs what only the owner may see. */
  readonly explain: (error: unknown) => RequestError;
}

/** Understands a call. Throws `RequestError` for a caller's mistake. */
export type Endpoint = (call: Call) => AnswerPlan | Promise<AnswerPlan>;

/** What the log says about an answered call. */
export interface AnswerOutcome {
  readonly model: string;
  readonly isStream: boolean;
  firstTokenMs?: number;
  promptTokens?: number;
  completionTokens?: number;
  isUsageEstimated?: true;
  finishReason?: string;
}

export interface AnswerPlan {
  readonly isStream: boolean;
  /** Filled in while the answer is read. */
  readonly outcome: AnswerOutcome;
  /** What it took, once it is over. */
  usage(): Usage | undefined;
  /** What keeps a silent stream alive. */
  readonly keepAlive: string;
  /** Resolves when all answers are accepted. A mistake that they find before that is thrown, with a status of its own. */
  start(): Promise<StartedAnswer>;
  /** Stops everything; for one who goes away, started or not. */
  leave(): void;
}

/** To be read once, in one of two ways. */
export interface StartedAnswer {
  /** Frames of an event stream; a failure is told in it. */
  stream(): AsyncGenerator<string, void, void>;
  whole(): Promise<object>;
}

type NumberedEvents<E extends AnswerEvent> = AsyncGenerator<NumberedEvent<E>, void, void>;

export interface AnswerParts<E extends AnswerEvent> {
  readonly model: string;
  readonly delivery: Delivery;
  /** Answers to each prompt. */
  readonly choices: number;
  readonly answers: readonly Answer<E>[];
  /** Who is charged for it; absent where the answer was charged elsewhere, or is only read again. */
  readonly charged?: { readonly operation: OperationId; readonly user: string } | undefined;
  /** Sees every event before it is written, and may hold it back until something has been done. */
  readonly through?: ((events: NumberedEvents<E>) => NumberedEvents<E>) | undefined;
  readonly stream: StreamShape<E>;
  readonly whole: (events: AsyncIterable<NumberedEvent<E>>) => Promise<object>;
}

/** How a dialect streams. */
export interface StreamShape<E extends AnswerEvent> {
  /** What an event is on the wire, in server-sent events. */
  readonly frames: (event: NumberedEvent<E>) => readonly string[];
  /** What follows the last event; may be empty. */
  readonly end: string;
  /** What is said of a failure when the status has been sent. */
  readonly failure: (error: RequestError) => string;
  readonly keepAlive: string;
}

/** OpenAI's and DeepSeek's way: chunks without names, a comment while there is nothing to say, and a mark at the end. */
export function chunkStream<E extends AnswerEvent>(
  chunk: (event: NumberedEvent<E>) => object | undefined,
): StreamShape<E> {
  return {
    frames(event) {
      const data = chunk(event);
      return data === undefined ? [] : [serverSentEvent(data)];
    },
    end: 'data: [DONE]\n\n',
    // Clients look for an error in the stream and miss [DONE].
    failure: (error) => serverSentEvent(errorEnvelope(error, 'deepseek')),
    keepAlive: ': keep-alive\n\n',
  };
}

/** Whether chunks before the last say `usage: null`. */
export function includesUsage(delivery: Delivery): boolean {
  return delivery.type === 'stream' && delivery.includeUsage;
}

/** `name`: of an event that has one. */
export function serverSentEvent(data: object, name?: string): string {
  return `${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`;
}

/** Times are counted from here. */
export function planAnswer<E extends AnswerEvent>(
  parts: AnswerParts<E>,
  call: Call,
  { now, accounts }: EndpointOptions,
): AnswerPlan {
  const { model, delivery, choices, charged, through = (events) => events, stream, whole } = parts;
  const { explain, account, id } = call;
  account.checkModel(model);
  const plannedAt = now();
  const outcome: AnswerOutcome = { model, isStream: delivery.type === 'stream' };
  let total: Usage | undefined;
  /** The events as they pass, with what others want to know of them written down. */
  async function* noted(events: AsyncIterable<NumberedEvent<E>>): AsyncGenerator<NumberedEvent<E>, void, void> {
    for await (const numbered of events) {
      const { event, usage } = numbered;
      if (event.type !== 'start') outcome.firstTokenMs ??= now() - plannedAt;
      if ('reason' in event) outcome.finishReason = String(event.reason);
      if (usage) {
        total = usage;
        outcome.promptTokens = usage.prompt;
        outcome.completionTokens = usage.completion;
        if (usage.isEstimate) outcome.isUsageEstimated = true;
      }
      yield numbered;
    }
  }
  const charge: Charge = (usage, finishReason) =>
    charged === undefined
      ? Promise.resolve()
      : account.charge({ ...charged, id, model, usage, finishReason, isBatch: false });
  const answers = meteredAnswers(parts.answers, choices, charge, (whole) => accounts.goOn(whole, explain));
  return {
    ...{ isStream: outcome.isStream, outcome, keepAlive: stream.keepAlive },
    usage: () => total,
    async start() {
      const starts = await Promise.all(answers.map((answer) => startOf(answer, model))).catch((error) => {
        leaveAll(answers);
        throw error;
      });
      const events = through(noted(mergeChoices(answers, starts, choices)));
      return { stream: () => eventStream(events, stream, explain), whole: () => whole(events) };
    },
    // A reader that was never started does not pass on that it is left.
    leave: () => leaveAll(answers),
  };
}

async function startOf<E extends AnswerEvent>(answer: Answer<E>, model: string): Promise<E> {
  const start = await answer.next();
  if (start.done === true) throw new Error(`provider of ${model}: expected start, but its answer is empty`);
  return start.value;
}

async function* eventStream<E extends AnswerEvent>(
  events: AsyncIterable<NumberedEvent<E>>,
  { frames, end, failure }: StreamShape<E>,
  explain: (error: unknown) => RequestError,
): AsyncGenerator<string, void, void> {
  try {
    for await (const event of events) yield* frames(event);
    if (end !== '') yield end;
  } catch (error) {
    // The status is sent.
    yield failure(explain(error));
  }
}
