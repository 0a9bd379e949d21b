// DSML, the markup of tool calls that DeepSeek-V3.2 introduced and V4 kept.
//
// Owns how calls are written, and the text that asks for a format of the answer, which both dialects share. Reading is
// `dsml-parser`; how tools are described to the model differs between the two and stands in each.

import { dsml } from '../special-tokens.ts';
import type { CallsTag } from './dialect.ts';
import type { JsonValue, ToolCall } from './message.ts';
import { JsonNumber, parseJson, pythonJson } from './python-json.ts';

/** The block of tool calls as the model writes it, without the two line breaks before it. */
export function callsText(calls: readonly ToolCall[], callsTag: CallsTag): string {
  const invocations = calls.map(
    (call) => `<${dsml}invoke name="${call.name}">\n${parametersText(call.arguments)}\n</${dsml}invoke>`,
  );
  return `<${dsml}${callsTag}>\n${invocations.join('\n')}\n</${dsml}${callsTag}>`;
}

/** Asks for an answer that follows a JSON Schema. */
export function responseFormatText(schema: JsonValue): string {
  return `## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n${pythonJson(schema)}`;
}

function parametersText(argumentsJson: string): string {
  return Object.entries(argumentsOf(argumentsJson))
    .map(([name, value]) => {
      const isString = typeof value === 'string';
      const text = isString ? value : pythonJson(value);
      return `<${dsml}parameter name="${name}" string="${isString}">${text}</${dsml}parameter>`;
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
