// A training file, line by line.
//
// Owns how JSON Lines become rows, and that every mistake names its line: whoever sent the file wants to know of all of them
// before anything starts. Knows no row's shape.

import { readFileSync } from 'node:fs';
import { RequestError } from '@hadal/protocol/request-error';

/** What is wrong with an order, in the words of the wire. */
export interface OrderProblem {
  readonly code: string;
  readonly message: string;
  /** The field of the request that it is about. */
  readonly param: string | null;
  /** Of the file, from 1. */
  readonly line: number | null;
}

export interface RowsRead<T> {
  readonly rows: readonly T[];
  readonly problems: readonly OrderProblem[];
}

/** Mistakes that are told of one file; more follow from the same cause. */
const toldProblems = 20;

/** `param`: what the request calls the file. `parse` has a line and its number, from 1, and throws `RequestError` for a mistake. */
export function readRows<T>(path: string, param: string, parse: (line: unknown, number: number) => T): RowsRead<T> {
  const rows: T[] = [];
  const problems: OrderProblem[] = [];
  const lines = readFileSync(path, 'utf8').split('\n');
  for (const [index, text] of lines.entries()) {
    if (text.trim() === '') continue;
    if (problems.length === toldProblems) {
      problems.push(problem(param, null, 'there are more mistakes; only the first 20 are told'));
      break;
    }
    try {
      rows.push(parse(JSON.parse(text), index + 1));
    } catch (error) {
      const wording = error instanceof SyntaxError ? `expected JSON, ${error.message}` : messageOf(error);
      problems.push(problem(param, index + 1, wording));
    }
  }
  if (rows.length === 0 && problems.length === 0) problems.push(problem(param, null, 'the file has no rows'));
  return { rows, problems };
}

function problem(param: string, line: number | null, what: string): OrderProblem {
  // Whoever tells of it says the line.
  return { code: 'invalid_training_file', message: line === null ? `${param}: ${what}` : what, param, line };
}

/** In one sentence, with its place. */
export function problemText({ message, param, line }: OrderProblem): string {
  return line === null ? message : `${param ?? 'file'}, line ${line}: ${message}`;
}

function messageOf(error: unknown): string {
  if (error instanceof RequestError) return error.message;
  throw error;
}
