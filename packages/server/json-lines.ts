// JSON Lines, read as they come.
//
// Owns how bytes become lines and lines become values, and that a mistake is told with its line. Holds one line at a time.
// Knows nothing of what the values should be.

import { RequestError, requestError } from '@hadal/protocol/request-error';
import { parseJsonBody } from './json-body.ts';

export type JsonLine =
  /** `line` counts from 1, blank lines too. */
  | { readonly type: 'value'; readonly line: number; readonly value: unknown }
  | { readonly type: 'mistake'; readonly line: number; readonly error: RequestError };

/** Lines without anything in them are left out. Ends after a line that is longer than `maxLineBytes`, or not UTF-8. */
export async function* readJsonLines(
  bytes: AsyncIterable<Uint8Array>,
  maxLineBytes: number,
): AsyncGenerator<JsonLine, void, void> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let [line, rest] = [0, ''];
  for await (const piece of decoded(bytes, decoder)) {
    if (piece === undefined) {
      yield mistake(line + 1, 'expected UTF-8');
      return;
    }
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    for (const text of lines) {
      line++;
      const read = readLine(line, text);
      if (read) yield read;
    }
    if (rest.length > maxLineBytes) {
      yield mistake(line + 1, `expected at most ${maxLineBytes} bytes in a line`);
      return;
    }
  }
  const last = readLine(line + 1, rest);
  if (last) yield last;
}

/** The text as it comes; undefined, at the end, where it is none. */
async function* decoded(
  bytes: AsyncIterable<Uint8Array>,
  decoder: InstanceType<typeof TextDecoder>,
): AsyncGenerator<string | undefined, void, void> {
  try {
    for await (const chunk of bytes) yield decoder.decode(chunk, { stream: true });
    yield decoder.decode();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    yield undefined;
  }
}

function readLine(line: number, text: string): JsonLine | undefined {
  if (text.trim() === '') return undefined;
  try {
    return { type: 'value', line, value: parseJsonBody(text) };
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    return { type: 'mistake', line, error };
  }
}

function mistake(line: number, problem: string): JsonLine {
  return { type: 'mistake', line, error: requestError('malformed-json', { problem }) };
}
