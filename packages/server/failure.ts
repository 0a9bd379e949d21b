// What a caller is told when something fails.
//
// Owns the translation of any failure into a `RequestError`: mistakes keep their words, what Fastify refuses gets words
// of ours, and a bug becomes `internal`. Nothing of a bug (message, stack, path) ever reaches a caller.

import { RequestError, requestError } from '@hadal/protocol/request-error';
import type { Logger } from './logger.ts';

/** `contentType` is the header the request came with. */
export function requestErrorOf(error: unknown, limitBytes: number, contentType: string | undefined): RequestError {
  if (error instanceof RequestError) return error;
  const { code, statusCode, message } = fastifyErrorOf(error);
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return requestError('body-too-large', { limitBytes });
  // Fastify gives what ends the reading of a body this status.
  if (code === 'ECONNRESET' && statusCode === 400) {
    return requestError('malformed-http', { problem: 'the connection was closed before the body was whole' });
  }
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return requestError('unsupported-media-type', { expected: 'application/json', passed: contentType ?? 'none' });
  }
  // Fastify's own refusals carry a code and a status; a bug of ours has neither.
  if (code.startsWith('FST_ERR_') && statusCode >= 400 && statusCode < 500) {
    return requestError('malformed-http', { problem: message });
  }
  return requestError('internal');
}

/** The same, of what came by no connection. A failure of ours is logged with all that is known. */
export function explainFailure(
  error: unknown,
  { logger, requestId }: { readonly logger: Logger; readonly requestId: string },
): RequestError {
  const shown = error instanceof RequestError ? error : requestError('internal');
  if (shown.code === 'internal') logger.error({ err: error, requestId }, 'request failed');
  return shown;
}

function fastifyErrorOf(error: unknown): { code: string; statusCode: number; message: string } {
  const { code, statusCode, message } = (error ?? {}) as Record<string, unknown>;
  return { code: String(code), statusCode: Number(statusCode), message: String(message) };
}
