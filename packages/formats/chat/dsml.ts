// DSML, the markup of tool calls that DeepSeek-V3.2 introduced and V4 and V4.1 kept.
//
// Owns its tags, how calls are written, and the text that asks for a format of the answer, which these dialects share. Reading
// is `dsml-parser`; how tools are described to the model differs and stands in each dialect.

import { dsml } from '../special-tokens.ts';
import type { CallsTag } from './dialect.ts';
import type { JsonValue, ToolCall } from './message.ts';
import { JsonNumber, parseJson, pythonJson } from './python-json.ts';

/** The tags, those with attributes up to their name's first character. */
export interface DsmlTags {
  readonly blockBegin: string;
  readonly blockEnd: string;
  readonly callBegin: string;
  readonly callEnd: string;
  readonly parameterBegin: string;
  readonly parameterEnd: string;
}

/** The tags of the dialect whose block of calls has this name: V4.1's begin with a space, all of them. */
export function dsmlTags(callsTag: CallsTag): DsmlTags {
  const space = callsTag.startsWith(' ') ? ' ' : '';
  return {
    blockBegin: `<${dsml}${callsTag}>`,
    blockEnd: `</${dsml}${callsTag}>`,
    callBegin: `<${dsml}${space}invoke name="`,
    callEnd: `</${dsml}${space}invoke>`,
    parameterBegin: `<${dsml}${space}parameter name="`,
    parameterEnd: `</${dsml}${space}parameter>`,
  };
}

/** The block of tool calls as the model writes it, without the two line breaks before it. */
export function callsText(calls: readonly ToolCall[], callsTag: CallsTag): string {
  const tags = dsmlTags(callsTag);
  const invocations = calls.map(
    (call) => `${tags.callBegin}${call.name}">\n${parametersText(call.arguments, tags)}\n${tags.callEnd}`,
  );
  return `${tags.blockBegin}\n${invocations.join('\n')}\n${tags.blockEnd}`;
}

/** Asks for an answer that follows a JSON Schema. */
export function responseFormatText(schema: JsonValue): string {
  return `## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n${pythonJson(schema)}`;
}

function parametersText(argumentsJson: string, { parameterBegin, parameterEnd }: DsmlTags): string {
  return Object.entries(argumentsOf(argumentsJson))
    .map(([name, value]) => {
      const isString = typeof value === 'string';
      const text = isString ? value : pythonJson(value);
      return `${parameterBegin}${name}" string="${isString}">${text}${parameterEnd}`;
    })
    .join('\n');
}

/** Text that is not the JSON of an object stands whole as the one parameter `arguments`. */
function argumentsOf(json: string): object {
  try {
    const value = parseJson(json);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (isObject && !(value instanceof JsonNumber)) return value;
  } catch {
    // Falls through: a model's malformed arguments are still part of its history.
  }
  return { arguments: json };
}
