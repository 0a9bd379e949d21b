// The files of an order, read as its method needs them.
//
// Owns which rows a method's files have and what becomes of them. The same reading serves the check before a job is taken, the
// estimate and the job itself, so what passed the first cannot fail the last.

import { chooseDialect } from '@hadal/formats/chat/choose-dialect';
import type { Checkpoint } from '@hadal/formats/checkpoint';
import { RequestError } from '@hadal/protocol/request-error';
import type { TrainingOrder } from '@hadal/protocol/training-order';
import { type ConversationRow, parseConversationRow, parsePreferenceRow } from '@hadal/protocol/training-rows';
import type { PreferencePair } from '../dpo.ts';
import type { TrainingDocument } from '../packing.ts';
import { conversationDocument, learnedTokens, preferenceDocuments, type Renderer } from './conversation-documents.ts';
import { type OrderProblem, type RowsRead, readRows } from './data-file.ts';
import { parsePrompt, type TrainingPrompt, toolSchemaOf } from './prompts.ts';

/** What a method learns from. */
export type JobData =
  | {
      readonly type: 'documents';
      readonly learned: readonly TrainingDocument[];
      readonly heldOut: readonly TrainingDocument[];
    }
  | { readonly type: 'pairs'; readonly pairs: readonly PreferencePair[] }
  | {
      readonly type: 'prompts';
      readonly prompts: readonly TrainingPrompt[];
      readonly heldOut: readonly TrainingPrompt[];
    }
  /** Answers of a teacher that are there already, and prompts to compare it on in the end. */
  | {
      readonly type: 'answered';
      readonly learned: readonly TrainingDocument[];
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
  function read<T>(param: 'training_file' | 'validation_file', parse: (line: unknown) => T): readonly T[] {
    const file = param === 'training_file' ? trainingFile : validationFile;
    if (file === undefined) return [];
    const { rows, problems: found }: RowsRead<T> = readRows(at(file), param, parse);
    problems.push(...found);
    return rows;
  }
  const documentOf = (line: unknown): TrainingDocument => document(parseConversationRow(line), renderer, limit);
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
      return { data: { type: 'pairs', pairs: read('training_file', pairOf) }, problems };
    }
    case 'reinforcement': {
      const promptOf = (line: unknown) => checkedPrompt(parsePrompt(line, method.reasoning === 'on'), renderer, limit);
      const [prompts, heldOut] = [read('training_file', promptOf), read('validation_file', promptOf)];
      return { data: { type: 'prompts', prompts, heldOut }, problems };
    }
    case 'distillation': {
      const promptOf = (line: unknown) => checkedPrompt(parsePrompt(line, true), renderer, limit);
      if (method.source === 'stored_completions') {
        const [learned, heldOut] = [read('training_file', documentOf), read('validation_file', promptOf)];
        return { data: { type: 'answered', learned, heldOut }, problems };
      }
      const [prompts, heldOut] = [read('training_file', promptOf), read('validation_file', promptOf)];
      return { data: { type: 'prompts', prompts, heldOut }, problems };
    }
  }
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
