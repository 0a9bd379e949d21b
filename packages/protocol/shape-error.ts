// From a failed check of a schema to the one sentence a caller needs.
//
// Owns how a field is named (`messages[0].content`) and how expected and found are worded. Knows no particular schema:
// a schema words what it expects by giving its checks a message that starts with "expected". Reports the first mistake
// only, because later ones often follow from it.

import type { z } from 'zod';
import { type RequestError, requestError } from './request-error.ts';

type Issue = z.core.$ZodIssue;

/** The body as the schema has it. Throws `RequestError` for the first mistake. */
export function checkShape<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const parsed = schema.safeParse(body, { reportInput: true });
  if (!parsed.success) throw shapeError(parsed.error.issues, body);
  return parsed.data;
}

/** The error for the first of `issues`, which zod found in `body` and reports with their input. */
export function shapeError(issues: readonly Issue[], body: unknown): RequestError {
  const { isOutOfRange, field, problem } = shapeProblem(issues, body);
  // DeepSeek says "Failed to deserialize" of a wrong type and not of a number out of its range.
  return requestError(isOutOfRange ? 'invalid-field' : 'wrong-shape', { field, problem });
}

export interface ShapeProblem {
  readonly field: string;
  readonly problem: string;
  readonly path: readonly PropertyKey[];
  /** Whether the value is the mistake, rather than its type. */
  readonly isOutOfRange: boolean;
}

/** The first of `issues`, which zod found in `value` and reports with their input, in words. */
export function shapeProblem(issues: readonly Issue[], value: unknown): ShapeProblem {
  const issue = innermost(issues);
  if (issue.code === 'unrecognized_keys') {
    const path = [...issue.path, issue.keys[0] ?? ''];
    return { path, field: fieldName(path), problem: 'is not known', isOutOfRange: false };
  }
  const found = valueAt(value, issue.path);
  const expected = issue.message.startsWith('expected') ? issue.message : expectation(issue);
  const got =
    found === undefined ? 'but it is missing' : `got ${isOfWrongType(issue) ? typeName(found) : excerpt(found)}`;
  return {
    ...{ path: issue.path, field: fieldName(issue.path), problem: `${expected}, ${got}` },
    isOutOfRange: issue.code === 'too_big' || issue.code === 'too_small' || issue.code === 'invalid_format',
  };
}

/** `['messages', 0, 'content']` as `messages[0].content`; the empty path is the body itself. */
export function fieldName(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'body';
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${String(key)}`)).join('');
}

/** Where no branch of a union fits, the mistake is in the branch that got furthest, unless all fail by their type. */
function innermost(issues: readonly Issue[]): Issue {
  const issue = issues[0];
  if (issue === undefined) throw new Error('issues: expected at least one, got none');
  if (issue.code !== 'invalid_union') return issue;
  const deeper = issue.errors
    .filter((branch) => branch.length > 0)
    .map((branch) => innermost(branch))
    .filter((inner) => inner.path.length > 0 || !isOfWrongType(inner))
    .sort((a, b) => b.path.length - a.path.length)[0];
  return deeper === undefined ? issue : { ...deeper, path: [...issue.path, ...deeper.path] };
}

/** Whether the type of a value is the mistake, rather than the value. */
function isOfWrongType(issue: Issue): boolean {
  if (issue.code === 'custom') return true;
  if (issue.code === 'invalid_value') return typeof issue.input !== typeof issue.values[0];
  if (issue.code === 'invalid_type') return issue.expected !== 'int';
  return issue.code === 'invalid_union' && issue.errors.length > 0 && issue.errors.flat().every(isOfWrongType);
}

function expectation(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${issue.expected}`;
    case 'invalid_value':
      return `expected ${alternatives(issue.values)}`;
    case 'invalid_union':
      return `expected ${alternatives('options' in issue ? (issue.options ?? []) : [])}`;
    default:
      // Other checks always carry their own wording.
      return issue.message;
  }
}

function alternatives(values: readonly unknown[]): string {
  const texts = values.map((value) => JSON.stringify(value));
  return texts.length > 1 ? `one of ${texts.join(', ')}` : texts.join('');
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  let value: unknown = body;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = Reflect.get(value, key);
  }
  return value;
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

function excerpt(value: unknown): string {
  if (Array.isArray(value)) return String(value.length);
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}
