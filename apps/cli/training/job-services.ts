// Who grades and teaches in a training process.
//
// Owns how a job's graders reach models, webhooks and sandboxes, and where its teacher runs: in an engine of this process when its
// checkpoint lies on this machine, else behind the server or another one's API. What either does is the training package's.

import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { openEngine } from '@hadal/engine/engine';
import { openCheckpoint } from '@hadal/formats/checkpoint';
import { readStopTokens } from '@hadal/models/generation-config';
import {
  type AskedMessage,
  type ChannelQuestion,
  type ChannelReply,
  isPassing,
  isWhole,
  wireAskedMessage,
} from '@hadal/protocol/job-channel';
import type { TrainingOrder } from '@hadal/protocol/training-order';
import { SafeFetchError, safeFetch } from '@hadal/server/safe-fetch';
import { type ExchangeOptions, inTurns, type Question, seedOfTurn } from '@hadal/training/exchange';
import { grade } from '@hadal/training/graders/grader';
import type { SandboxPool } from '@hadal/training/graders/sandbox/sandbox-pool';
import { rendererOf } from '@hadal/training/jobs/job-data';
import { JobFailure, JobStopped } from '@hadal/training/jobs/job-failure';
import type { JobServices, TeacherBefore } from '@hadal/training/jobs/run-job';
import { engineTeacher, type Teacher } from '@hadal/training/teacher';
import { graderAsk } from './grader-ask.ts';
import { postWebhook } from './post-webhook.ts';
import type { AskServer } from './server-channel.ts';
import { teacherKey } from './teacher-key.ts';

/** `sandboxes` and what a teacher opened are closed by whoever disposes of `stack`. */
export function jobServices(
  { method, threads }: TrainingOrder,
  ask: AskServer,
  sandboxes: SandboxPool,
  stack: AsyncDisposableStack,
  retryDelaysMs: readonly number[] = usualRetryDelaysMs,
): Pick<JobServices, 'judge' | 'openTeacher'> {
  const grader = 'grader' in method ? method.grader : undefined;
  const resources = { ask: graderAsk(ask), post: postWebhook, sandboxes, nowMs: () => performance.now() };
  return {
    judge: grader && ((item, sample) => grade(grader, { item, sample }, resources)),
    openTeacher: async (before) => {
      if (method.type !== 'distillation') throw new Error(`${method.type}: has no teacher`);
      const { teacher } = method;
      if (teacher.directory === undefined) {
        const { model, baseUrl } = teacher;
        const asking = baseUrl === undefined ? ask : askElsewhere(baseUrl, teacherKey(teacher, process.env));
        return wordsTeacher(model, patiently(asking, retryDelaysMs, before));
      }
      const checkpoint = await openCheckpoint(teacher.directory);
      const engine = stack.use(await openEngine({ checkpoint, ...(threads !== undefined && { threads }) }));
      const { tokenizer, dialect } = rendererOf(checkpoint);
      const stopTokens = readStopTokens(checkpoint, dialect, tokenizer);
      return engineTeacher({ engine, dialect, stopTokens }, teacher.model);
    },
  };
}

/** A teacher of whom only the words can be had. */
function wordsTeacher(model: string, ask: AskServer): Teacher {
  return {
    name: model,
    async answer(question, options) {
      let [promptTokens, completionTokens, isTruncated] = [0, 0, false];
      const { said, answer } = await inTurns(question, options.maxTurns, async (messages, turn) => {
        const seed = seedOfTurn(options.seed, turn);
        const reply = await ask(questionOf(model, { ...question, messages }, { ...options, seed }));
        if (reply.type === 'gone') throw new JobStopped();
        if (reply.type === 'failure') {
          throw new JobFailure('teacher_failed', `teacher ${model}: ${reply.message}`, 'method.distillation.teacher');
        }
        const { content, reasoning, toolCalls, usage } = reply;
        isTruncated ||= reply.isTruncated;
        promptTokens += usage.promptTokens;
        completionTokens += usage.completionTokens;
        return { content, reasoning, toolCalls };
      });
      const { content: text, ...rest } = answer;
      return { sample: { text, ...rest, isTruncated }, said, promptTokens, completionTokens };
    },
  };
}

function questionOf(model: string, { messages, tools, thinking }: Question, options: ExchangeOptions): ChannelQuestion {
  const { temperature, seed, maxTokens } = options;
  return {
    model,
    messages: messages as readonly AskedMessage[],
    tools,
    thinking,
    temperature,
    seed,
    maxTokens,
  };
}

/** Between the times that a teacher is asked for an answer: long enough for a server to be started again. */
const usualRetryDelaysMs: readonly number[] = [1000, 5000, 30_000, 120_000];
/** How often one is asked again that has never answered: its address may be wrong. */
const firstRetries = 2;

/** Asks again where a failure may pass: what has been answered until then was paid for, and a job that fails is over. */
function patiently(ask: AskServer, delaysMs: readonly number[], before: TeacherBefore): AskServer {
  let { hasAnswered } = before;
  return async (question) => {
    for (let attempt = 0; ; attempt++) {
      const reply = await ask(question);
      if (reply.type === 'answer') hasAnswered = true;
      const delayMs = hasAnswered || attempt < firstRetries ? delaysMs[attempt] : undefined;
      if (reply.type !== 'failure' || !reply.mayPass || delayMs === undefined) return reply;
      const isOver = await delay(delayMs, false, { signal: before.signal }).catch(() => true);
      if (isOver) return { type: 'gone' };
    }
  };
}

/** Of one answer, thoughts included; and how long it may take. */
const maxAnswerBytes = 16 * 2 ** 20;
const answerTimeoutMs = 600_000;

/** An OpenAI-compatible server that this one does not know. */
function askElsewhere(baseUrl: string, key: string | undefined): AskServer {
  // Whoever orders a job from a server names the address; whoever runs a recipe is at home. A server that is gone was one.
  const isAtHome = process.send === undefined;
  return async ({ model, messages, tools, temperature, seed, maxTokens }) => {
    const body = {
      ...{ model, temperature, seed, max_tokens: maxTokens, messages: messages.map(wireAskedMessage) },
      ...(tools && tools.length > 0 && { tools: tools.map((tool) => ({ type: 'function', function: tool })) }),
    };
    const headers = {
      'content-type': 'application/json',
      ...(key !== undefined && { authorization: `Bearer ${key}` }),
    };
    try {
      const response = await safeFetch(`${baseUrl.replace(/\/$/, '')}/chat/completions`, {
        ...{
          method: 'POST',
          headers,
          body: JSON.stringify(body),
          maxBytes: maxAnswerBytes,
          timeoutMs: answerTimeoutMs,
        },
        ...(isAtHome && { isAllowed: () => true }),
      });
      const text = response.body.toString('utf8');
      const { status } = response;
      if (status === 200) return replyOf(JSON.parse(text));
      return { type: 'failure', message: `status ${status}: ${text.slice(0, 300)}`, mayPass: isPassing(status) };
    } catch (error) {
      if (!(error instanceof SafeFetchError || error instanceof SyntaxError)) throw error;
      // Of the network there is a cause; what we refuse ourselves has none.
      return { type: 'failure', message: error.message, mayPass: error.cause !== undefined };
    }
  };
}

interface WireCompletion {
  readonly choices?: readonly {
    readonly finish_reason?: string | null;
    readonly message?: {
      readonly content?: string | null;
      readonly reasoning_content?: string | null;
      readonly reasoning?: string | null;
      readonly tool_calls?: readonly { id: string; function: { name: string; arguments: string } }[] | null;
    };
  }[];
  readonly usage?: { readonly prompt_tokens?: number; readonly completion_tokens?: number };
}

function replyOf({ choices, usage }: WireCompletion): ChannelReply {
  const choice = choices?.[0];
  if (!choice?.message) return { type: 'failure', message: 'expected a choice with a message, got none' };
  const { content, reasoning_content, reasoning, tool_calls } = choice.message;
  return {
    ...{ type: 'answer', content: content ?? '', reasoning: reasoning_content ?? reasoning ?? '' },
    toolCalls: (tool_calls ?? []).map((call) => ({ id: call.id, ...call.function })),
    isTruncated: !isWhole(choice.finish_reason),
    usage: {
      ...{ promptTokens: usage?.prompt_tokens ?? 0, completionTokens: usage?.completion_tokens ?? 0, cachedTokens: 0 },
    },
  };
}
