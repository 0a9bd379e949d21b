// The input of a custom tool, which is text, as the one parameter of a function.
//
// Owns how the two become each other: models call functions with JSON, and a custom tool takes what it takes as it is. Read as it
// streams, the parts add up to the whole. Arguments of another form are handed over as they are.

import type { JsonObject } from './chat-request.ts';

/** JSON Schema of the arguments. A `grammar` of the input is shown to the model, which is not held to it. */
export function customToolParameters(grammar: string | undefined): JsonObject {
  const input = { type: 'string', ...(grammar !== undefined && { description: `Follows this grammar:\n${grammar}` }) };
  return { type: 'object', properties: { input }, required: ['input'], additionalProperties: false };
}

/** Spaced as DeepSeek's encodings space JSON, so that a call that comes back is the call that was made. */
export function customToolArguments(input: string): string {
  return `{"input": ${JSON.stringify(input)}}`;
}

export function customToolInput(argumentsText: string): string {
  try {
    const { input } = JSON.parse(argumentsText) as { readonly input?: unknown };
    if (typeof input === 'string') return input;
  } catch {
    // Cut off, or no JSON.
  }
  return new CustomToolInput().push(argumentsText) || argumentsText;
}

const opening = /^\s*\{\s*"input"\s*:\s*"/;
const lead = '\\\\u[dD][89abAB][0-9a-fA-F]{2}';
const trail = '\\\\u[dD][c-fC-F][0-9a-fA-F]{2}';
/** What can be read: characters, escapes, and halves of a character only together. */
const readable = new RegExp(`(?:[^"\\\\]|\\\\[^u]|${lead}${trail}|(?!${lead})\\\\u[0-9a-fA-F]{4})*`, 'y');

/** Reads the input out of arguments as they arrive. */
export class CustomToolInput {
  #pending = '';
  #isOpen = false;

  /** The part of the input that `text` adds. */
  push(text: string): string {
    this.#pending += text;
    if (!this.#isOpen) {
      const [found] = opening.exec(this.#pending) ?? [];
      if (found === undefined) return '';
      this.#isOpen = true;
      this.#pending = this.#pending.slice(found.length);
    }
    readable.lastIndex = 0;
    const [part = ''] = readable.exec(this.#pending) ?? [];
    this.#pending = this.#pending.slice(part.length);
    return unescaped(part);
  }
}

function unescaped(part: string): string {
  try {
    // Models write line breaks as they are, which JSON does not allow.
    return JSON.parse(`"${part.replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\t', '\\t')}"`);
  } catch {
    return part;
  }
}
