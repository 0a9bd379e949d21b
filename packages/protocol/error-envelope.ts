// How an error looks on the wire.
//
// Owns the three envelopes: DeepSeek's, OpenAI's and Anthropic's, and how an error fills them. DeepSeek's and OpenAI's
// have the same members, but DeepSeek never says which field is to blame except in the text: `param` is null there, and a client
// of DeepSeek's finds nothing else here. Knows no particular error.

import { type RequestError, requestErrors } from './request-error.ts';
import type { Dialect } from './routes.ts';

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
  };
}

export interface AnthropicErrorBody {
  readonly type: 'error';
  readonly error: { readonly type: string; readonly message: string; readonly details?: object };
}

const envelopes = {
  deepseek: (error) => ({ error: { ...words(error), param: null } }),
  openai: (error) => ({ error: { ...words(error), param: error.parameter ?? null } }),
  anthropic: ({ code, status, message }) => ({
    type: 'error',
    error: {
      ...{ type: anthropicTypes[status] ?? 'api_error', message },
      // By this Anthropic's own loop over tools knows to go on without.
      ...(code === 'threads-unsupported' && {
        details: { error_code: 'thread_unsupported_request', unsupported: ['thread'] },
      }),
    },
  }),
} as const satisfies Record<Dialect, (error: RequestError) => ErrorBody | AnthropicErrorBody>;

export function errorEnvelope<D extends Dialect>(error: RequestError, dialect: D): ReturnType<(typeof envelopes)[D]> {
  return envelopes[dialect](error) as ReturnType<(typeof envelopes)[D]>;
}

function words({ code, message }: RequestError) {
  const row = requestErrors[code];
  return { message, type: row.type, param: null, code: row.code };
}

/** Anthropic has no codes; its types go with the status. */
const anthropicTypes: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
};
