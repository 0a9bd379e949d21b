// A request body as JSON.
//
// Owns what malformed means, the encoding included (bytes that are no UTF-8 would become other words than were sent), and a bound
// on nesting: later stages walk values by recursion. Knows nothing about what the JSON should say.

import { isUtf8 } from 'node:buffer';
import { requestError } from '@hadal/protocol/request-error';

const maxDepth = 128;

/** Throws `RequestError` with the place of the mistake, where V8 tells it. */
export function parseJsonBody(body: string | Buffer): unknown {
  if (typeof body !== 'string' && !isUtf8(body)) throw requestError('malformed-json', { problem: 'it is no UTF-8' });
  const text = body.toString();
  if (text.trim() === '') throw requestError('malformed-json', { problem: 'the body is empty' });
  checkDepth(text);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw requestError('malformed-json', { problem: error instanceof Error ? error.message : String(error) });
  }
}

function checkDepth(text: string): void {
  let depth = 0;
  let isInString = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '"') isInString = !isInString;
    else if (isInString) i += char === '\\' ? 1 : 0;
    else if (char === '{' || char === '[') depth++;
    else if (char === '}' || char === ']') depth--;
    if (depth > maxDepth) {
      throw requestError('malformed-json', { problem: `nested deeper than ${maxDepth} levels at position ${i}` });
    }
  }
}
