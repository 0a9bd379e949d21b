// What a request demands of an answer's form, as the engine's constraint.
//
// Owns how response format, tools and reasoning come together in one specification, and how a refusal of it is told in the
// request's own words. Knows nothing of how constraints are enforced.

import type { ConstraintRefusal, ConstraintSpec } from '@hadal/engine/constraints/constraint';
import type { Beginning, ChatDialect } from '@hadal/formats/chat/dialect';
import type { ChatRequest, FunctionTool, ResponseFormat } from '@hadal/protocol/chat-request';
import { type RequestError, requestError } from '@hadal/protocol/request-error';

/** undefined: the model may say what it wants. Throws `RequestError` where the dialect's calls have no grammar for it. */
export function answerConstraint(
  request: ChatRequest,
  dialect: ChatDialect,
  beginning: Beginning,
): ConstraintSpec | undefined {
  const answer = constraintOf(request, dialect);
  return answer && beginning === 'reasoning' ? { type: 'after-reasoning', answer } : answer;
}

/** The error that names what in the request cannot be enforced. */
export function unenforceable({ pointer, tool, reason }: ConstraintRefusal, request: ChatRequest): RequestError {
  const { format, schema, tools } = request.places;
  const place = tools[request.tools.findIndex(({ name }) => name === tool)];
  const field = place === undefined ? format : `${place}.${schema}`;
  const at = pointer === '' ? '' : ` at ${pointer}`;
  return requestError('unenforceable-format', { field, place: at, problem: reason });
}

function constraintOf(
  { tools, toolChoice, responseFormat, places }: ChatRequest,
  { calls }: ChatDialect,
): ConstraintSpec | undefined {
  const format = formatConstraint(responseFormat);
  if (tools.length === 0 || toolChoice.type === 'none') return format;
  const isForced = toolChoice.type !== 'auto';
  if (calls.type !== 'dsml') {
    const strict = tools.findIndex(({ isStrict }) => isStrict);
    if (strict >= 0) throw withoutGrammar(`${places.tools[strict]}.strict`);
    if (format && !isForced) throw withoutGrammar(places.format);
    return undefined;
  }
  if (!isForced && !format && !tools.some(({ isStrict }) => isStrict)) return undefined;
  return {
    ...{ type: 'tool-calls', callsTag: calls.tag, tools: tools.map(toolSpec), calls: 'several' },
    choice:
      toolChoice.type === 'function'
        ? { type: 'named', name: toolChoice.name }
        : isForced
          ? { type: 'required' }
          : { type: 'auto', content: format ?? 'free' },
  };
}

function formatConstraint(format: ResponseFormat): ConstraintSpec | undefined {
  return format.type === 'text' ? undefined : format;
}

function toolSpec({ name, parameters, isStrict }: FunctionTool) {
  return { name, parameters, isStrict };
}

function withoutGrammar(field: string): RequestError {
  const problem = "the form of this model's tool calls cannot be enforced";
  return requestError('invalid-field', { field, problem });
}
