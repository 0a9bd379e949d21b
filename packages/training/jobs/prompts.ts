// What a policy is asked in training.
//
// Owns how a row of a file becomes a question: from its messages, or from a problem of a built-in task, whose environment then
// also answers tool calls. Knows nothing of answers.

import type { FunctionTool, JsonObject } from '@hadal/protocol/chat-request';
import { requestError } from '@hadal/protocol/request-error';
import { isTaskRow, parsePromptRow, parseTaskItem } from '@hadal/protocol/training-rows';
import type { Question } from '../exchange.ts';
import { askableTasks } from '../tasks/registry.ts';

export interface TrainingPrompt {
  readonly question: Question;
  /** The row: what graders call `item`. */
  readonly item: JsonObject;
  /** Of its file, from 1. */
  readonly line: number;
}

/** Throws `RequestError` for the first mistake. `thinking`: of rows that do not say; a task may ask without in any case. */
export function parsePrompt(line: unknown, thinking: boolean): Omit<TrainingPrompt, 'line'> {
  if (!isTaskRow(line)) {
    const { messages, tools, item, thinking: isThinking } = parsePromptRow(line, thinking);
    return { item, question: { messages, tools: tools.map(toolSchemaOf), thinking: isThinking } };
  }
  const { task: name, split, index, difficulty, thinking: asked } = parseTaskItem(line);
  const task = askableTasks.find((each) => each.name === name);
  if (!task) {
    const known = askableTasks.map((each) => JSON.stringify(each.name)).join(', ');
    throw requestError('invalid-field', {
      field: 'task',
      problem: `expected one of ${known}, got ${JSON.stringify(name)}`,
    });
  }
  const problem = task.generate(split, index, difficulty === undefined ? {} : { difficulty });
  if (problem.kind !== 'chat') {
    throw requestError('invalid-field', { field: 'task', problem: `expected a task in messages, ${name} has none` });
  }
  return { item: line as JsonObject, question: { ...problem, thinking: asked ?? (thinking && problem.thinking) } };
}

export function toolSchemaOf({ name, description, parameters }: FunctionTool) {
  return {
    name,
    ...(description !== undefined && { description }),
    ...(parameters !== undefined && { parameters }),
  };
}
