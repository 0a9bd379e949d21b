// The catalogue of what a caller can be told.
//
// Owns every error that may leave the server: its HTTP status, its wire type and code, and its wording. Knows nothing
// about HTTP frameworks or about what went wrong inside. A failure that is not a `RequestError` is a bug, and a caller
// learns of it only as `internal`.

/** What one row of the catalogue fixes. `message` turns the details of one case into the text the caller reads. */
interface ErrorRow {
  readonly status: number;
  readonly type: string;
  readonly code: string;
  message(details: never): string;
}

/** A field of the request by its wire path, such as `messages[0].content`, and what is wrong with it. */
export interface FieldProblem {
  readonly field: string;
  readonly problem: string;
}

/** What can be asked for by its id. */
export type StoredKind = 'File' | 'Batch' | 'Response' | 'Chat completion';

// Texts are DeepSeek's own where its documentation or public logs show them. Almost every mistake has the same wire
// type and code there; callers tell them apart by the text, so the field always stands in it.
const invalidRequest = { status: 400, type: 'invalid_request_error', code: 'invalid_request_error' } as const;
const serverError = { type: 'server_error', code: 'server_error' } as const;

export const requestErrors = {
  'malformed-json': {
    ...invalidRequest,
    message: (details: { readonly problem: string }) => `Failed to parse the request body as JSON: ${details.problem}`,
  },
  'wrong-shape': {
    ...invalidRequest,
    message: (details: FieldProblem) =>
      `Failed to deserialize the JSON body into the target type: ${details.field}: ${details.problem}`,
  },
  'invalid-field': {
    ...invalidRequest,
    message: (details: FieldProblem) => `${details.field}: ${details.problem}`,
  },
  'unknown-model': {
    ...invalidRequest,
    message: (details: { readonly supported: readonly string[]; readonly passed: string }) =>
      `The supported API model names are ${details.supported.join(', ')}, but you passed ${details.passed}.`,
  },
  'context-exceeded': {
    ...invalidRequest,
    message: (details: { readonly limit: number; readonly prompt: number; readonly completion: number }) =>
      `This model's maximum context length is ${details.limit} tokens. However, you requested ` +
      `${details.prompt + details.completion} tokens (${details.prompt} in the messages, ${details.completion} in the ` +
      'completion). Please reduce the length of the messages or completion.',
  },
  'forced-tool-while-thinking': {
    ...invalidRequest,
    message: () => 'Thinking mode does not support this tool_choice',
  },
  'reasoning-missing': {
    ...invalidRequest,
    message: () => 'The `reasoning_content` in the thinking mode must be passed back to the API.',
  },
  'unenforceable-format': {
    ...invalidRequest,
    message: (details: FieldProblem & { readonly pointer: string }) =>
      `${details.field}: cannot be enforced${details.pointer === '' ? '' : ` at ${details.pointer}`}: ${details.problem}`,
  },
  'embeddings-unsupported': {
    ...invalidRequest,
    message: (details: { readonly model: string }) =>
      `model: ${details.model} generates text and has no embeddings; none of the models here has`,
  },
  'threads-unsupported': {
    ...invalidRequest,
    message: () => 'thread: conversations are not held here; send all messages with every request',
  },
  'image-unsupported': {
    ...invalidRequest,
    message: (details: { readonly field: string }) => `${details.field}: This model does not support image`,
  },
  'empty-assistant-message': {
    ...invalidRequest,
    message: (details: { readonly field: string }) => `${details.field}: content or tool_calls must be set`,
  },
  'malformed-http': {
    ...invalidRequest,
    message: (details: { readonly problem: string }) => `Malformed HTTP request: ${details.problem}`,
  },
  'unknown-route': {
    ...invalidRequest,
    status: 404,
    code: 'not_found',
    message: (details: { readonly method: string; readonly path: string }) =>
      `Unknown route: ${details.method} ${details.path}`,
  },
  'unknown-object': {
    ...invalidRequest,
    status: 404,
    code: 'not_found',
    message: (details: { readonly kind: StoredKind; readonly id: string }) =>
      `${details.kind} with id '${details.id}' not found.`,
  },
  'file-too-large': {
    ...invalidRequest,
    status: 413,
    message: (details: { readonly limitBytes: number }) => `file: is larger than ${details.limitBytes} bytes`,
  },
  'storage-full': {
    ...invalidRequest,
    message: (details: { readonly maxFiles: number; readonly maxBytes: number }) =>
      `file: there is no room for it beside the others: ${details.maxFiles} files of together ${details.maxBytes} bytes ` +
      'are allowed. Delete some first.',
  },
  'body-too-large': {
    ...invalidRequest,
    status: 413,
    message: (details: { readonly limitBytes: number }) =>
      `The request body is larger than ${details.limitBytes} bytes`,
  },
  'unsupported-media-type': {
    ...invalidRequest,
    status: 415,
    message: (details: { readonly expected: string; readonly passed: string | undefined }) =>
      `Content-Type: expected ${details.expected}, got ${details.passed ?? 'none'}`,
  },
  'queue-full': {
    ...invalidRequest,
    status: 429,
    type: 'rate_limit_error',
    code: 'rate_limit_exceeded',
    message: (details: { readonly waiting: number }) =>
      `Rate limit reached: ${details.waiting} requests are waiting already. Please try again later.`,
  },
  internal: {
    ...serverError,
    status: 500,
    message: () => 'The server had an error while processing your request',
  },
  'shutting-down': {
    ...serverError,
    status: 503,
    code: 'service_unavailable',
    message: () => 'The server is shutting down; try again shortly',
  },
} as const satisfies Record<string, ErrorRow>;

export type RequestErrorCode = keyof typeof requestErrors;
export type ErrorDetails<C extends RequestErrorCode> = Parameters<(typeof requestErrors)[C]['message']>;

/** DeepSeek's envelope. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: null;
    readonly code: string;
  };
}

/** A caller's mistake, or a refusal the caller should hear about. Its message is safe to send as it is. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  readonly code: RequestErrorCode;
  readonly status: number;

  constructor(code: RequestErrorCode, message: string) {
    super(message);
    this.code = code;
    this.status = requestErrors[code].status;
  }
}

/** `requestError('unknown-model', { supported, passed })`: the row's own wording of one case. */
export function requestError<C extends RequestErrorCode>(code: C, ...details: ErrorDetails<C>): RequestError {
  const message = requestErrors[code].message as (...details: ErrorDetails<C>) => string;
  return new RequestError(code, message(...details));
}

/** The body DeepSeek would send. `param` is null there even when one field is to blame; the message names it. */
export function errorBody(error: RequestError): ErrorBody {
  const { type, code } = requestErrors[error.code];
  return { error: { message: error.message, type, param: null, code } };
}
