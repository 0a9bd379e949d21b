// How a command says that it failed.
//
// Owns the exit codes and the line a person reads. A mistake is told in one line without a stack trace; a bug is told with
// one, because only its trace helps. Knows nothing about any command.

import { AssertionError } from 'node:assert';
import { CommanderError } from 'commander';

export const exitCodes = { success: 0, failure: 1, usage: 2, interrupted: 130 } as const;

/** The command was called in a way that cannot work; the message says how to call it. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Tells `error` to `write`, with its trace when `withTrace` asks for it or it is a bug, and returns the exit code. */
export function reportFailure(error: unknown, write: (text: string) => void, options: { withTrace: boolean }): number {
  // Commander has already written its own message, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.success : exitCodes.usage;
  if (isMistake(error) && !options.withTrace) {
    write(`hadal: ${error.message.trim()}\n`);
    return error instanceof UsageError ? exitCodes.usage : exitCodes.failure;
  }
  const advice = isMistake(error) ? '' : 'this is a bug, please report it with these lines\n';
  write(`hadal: ${advice}${describe(error)}\n`);
  return exitCodes.failure;
}

/**
 * Whether the message alone tells a person what to do. Packages throw an `Error` for what the outside world got wrong (a
 * file, a shape, an address), and so does the platform; the language's own kinds are programming errors.
 */
function isMistake(error: unknown): error is Error {
  return error instanceof Error && !bugs.some((kind) => error instanceof kind);
}

const bugs = [TypeError, RangeError, ReferenceError, SyntaxError, AssertionError] as const;

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by ${describe(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
