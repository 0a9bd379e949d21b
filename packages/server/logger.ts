// Where the server writes what happened.
//
// Owns the form of the log: one JSON object a line, on standard error so that standard output stays free for results.
// Prompts, answers and keys are never logged; a request is told from others by its `requestId`.

import { type Logger, type LoggerOptions, pino } from 'pino';

export type { Logger };

/** `level` is one of pino's: trace, debug, info, warn, error, fatal, silent. */
export function createLogger(level: NonNullable<LoggerOptions['level']>): Logger {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: 2, sync: true }),
  );
}
