// The files of an order, read as its method needs them.
//
// Owns which rows a method's files have and what becomes of them. The same reading serves the check before a job is taken, the
// estimate and the job itself, so what passed the first cannot fail the last.

import { chooseDialect } from '@hadal/formats/chat/choose-dialect';
import type { Checkpoint } from '@hadal/formats/checkpoint';
import type { JsonObject } from '@hadal/protocol/chat-request';
import { RequestError } from '@hadal/protocol/request-error';
import type { TrainingOrder } from '@hadal/protocol/training-order';
import { type ConversationRow, parseConversationRow, parsePreferenceRow } from '@hadal/protocol/training-rows';
import type { PreferencePair } from '../dpo.ts';
import type { Sample } from '../graders/sample.ts';
import type { TrainingDocument } from '../packing.ts';
import { conversationDocument, learnedTokens, preferenceDocuments, type Renderer } from './conversation-documents.ts';
import { type OrderProblem, type RowsRead, readRows } from './data-file.ts';
import { parsePrompt, type TrainingPrompt, toolSchemaOf } from './prompts.ts';

/** A conversation in which a teacher has answered. */
export interface AnsweredRow {
  readonly document: TrainingDocument;
  /** What graders see of the last answer, and of the row. */
  readonly sample: Sample;
  readonly item: JsonObject;
  /** Of its file, from 1. */
  readonly line: number;
}

/** What a method learns from. */
export type JobData =
  | {
      readonly type: 'documents';
      readonly learned: readonly TrainingDocument[];
      readonly heldOut: readonly TrainingDocument[];
    }
  | { readonly type: 'pairs'; readonly pairs: readonly PreferencePair[]; readonly heldOut: readonly PreferencePair[] }
  | {
      readonly type: 'prompts';
      readonly prompts: readonly TrainingPrompt[];
      readonly heldOut: readonly TrainingPrompt[];
    }
  /** Answers of a teacher that are there already, and prompts to compare it on in the end. */
  | {
      readonly type: 'answered';
      readonly learned: readonly AnsweredRow[];
      readonly heldOut: readonly TrainingPrompt[];
    };

export interface JobDataRead {
  readonly data: JobData;
  readonly problems: readonly OrderProblem[];
}

export function rendererOf(base: Checkpoint): Renderer {
  const tokenizer = base.tokenizer();
  return { tokenizer, dialect: chooseDialect({ config: base.config(), template: base.chatTemplate(), tokenizer }) };
}

/** Reads the files of `order`, whose paths `at` completes; documents have at most `limit` tokens. */
export function readJobData(
  order: Pick<TrainingOrder, 'method' | 'trainingFile' | 'validationFile'>,
  renderer: Renderer,
  limit: number,
  at: (path: string) => string,
): JobDataRead {
  const { method, trainingFile, validationFile } = order;
  const problems: OrderProblem[] = [];
  function read<T>(
    param: 'training_file' | 'validation_file',
    parse: (line: unknown, number: number) => T,
  ): readonly T[] {
    const file = param === 'training_file' ? trainingFile : validationFile;
    if (file === undefined) return [];
    const { rows, problems: found }: RowsRead<T> = readRows(at(file), param, parse);
    problems.push(...found);
    return rows;
  }
  const documentOf = (line: unknown): TrainingDocument => document(parseConversationRow(line), renderer, limit);
  const promptsOf = (thinking: boolean) => (line: unknown, number: number) =>
    checkedPrompt({ ...parsePrompt(line, thinking), line: number }, renderer, limit);
  switch (method.type) {
    case 'supervised':
      return {
        data: {
          type: 'documents',
          learned: read('training_file', documentOf),
          heldOut: read('validation_file', documentOf),
        },
        problems,
      };
    case 'dpo': {
      const pairOf = (line: unknown): PreferencePair => {
        const pair = preferenceDocuments(parsePreferenceRow(line), renderer, limit);
        for (const one of pair) checkLearned(one, limit);
        return pair;
      };
      const [pairs, heldOut] = [read('training_file', pairOf), read('validation_file', pairOf)];
      return { data: { type: 'pairs', pairs, heldOut }, problems };
    }
    case 'reinforcement': {
      const promptOf = promptsOf(method.reasoning === 'on');
      const [prompts, heldOut] = [read('training_file', promptOf), read('validation_file', promptOf)];
      return { data: { type: 'prompts', prompts, heldOut }, problems };
    }
    case 'distillation': {
      const promptOf = promptsOf(true);
      if (method.source === 'stored_completions') {
        const answeredOf = (line: unknown, number: number): AnsweredRow => {
          const row = parseConversationRow(line);
          return {
            document: document(row, renderer, limit),
            sample: lastAnswer(row),
            item: line as JsonObject,
            line: number,
          };
        };
        const [learned, heldOut] = [read('training_file', answeredOf), read('validation_file', promptOf)];
        return { data: { type: 'answered', learned, heldOut }, problems };
      }
      const [prompts, heldOut] = [read('training_file', promptOf), read('validation_file', promptOf)];
      return { data: { type: 'prompts', prompts, heldOut }, problems };
    }
  }
}

function lastAnswer({ messages }: ConversationRow): Sample {
  const last = messages.findLast((message) => message.role === 'assistant');
  if (last?.role !== 'assistant') throw new Error('expected a conversation in which somebody answers');
  return { text: last.content, reasoning: last.reasoning, toolCalls: last.toolCalls, isTruncated: false };
}

function document(row: ConversationRow, renderer: Renderer, limit: number): TrainingDocument {
  const made = conversationDocument({ ...row, tools: row.tools.map(toolSchemaOf) }, renderer, limit);
  checkLearned(made, limit);
  return made;
}

function checkLearned(made: TrainingDocument, limit: number): void {
  if (learnedTokens(made) > 0) return;
  const problem = `messages: expected an answer within the first ${limit} tokens, all that the model can read`;
  throw new RequestError('invalid-field', problem, 'messages');
}

function checkedPrompt(prompt: TrainingPrompt, { tokenizer, dialect }: Renderer, limit: number): TrainingPrompt {
  const { messages, thinking, tools } = prompt.question;
  const { segments } = dialect.prompt(messages, { thinking, tools });
  const tokens = segments.reduce((sum, { text }) => sum + tokenizer.encode(text).length, 0);
  if (tokens < limit) return prompt;
  const problem = `messages: expected fewer than ${limit} tokens, all that the model can read, got ${tokens}`;
  throw new RequestError('invalid-field', problem, 'messages');
}
