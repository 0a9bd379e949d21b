// The catalogue of what a caller can be told.
//
// Owns every error that may leave the server: its HTTP status, its wire type and code, the field it blames and its wording.
// Rows are data, so that docs/errors.md can be held to them. Knows nothing about HTTP frameworks, about envelopes
// (`error-envelope.ts`) or about what went wrong inside. A failure that is not a `RequestError` is a bug, and a caller
// learns of it only as `internal`.

/** What one row of the catalogue fixes. In `message` and `parameter`, `{name}` stands for a detail of the case. */
interface ErrorRow {
  readonly status: number;
  readonly type: string;
  readonly code: string;
  readonly message: string;
  /** The field to blame, by its wire path such as `messages[0].content`; absent where no single one is. */
  readonly parameter?: string;
}

// Texts are DeepSeek's own where its documentation or public logs show them. Almost every mistake has the same wire
// type and code there; callers tell them apart by the text, so the field always stands in it.
const invalidRequest = { status: 400, type: 'invalid_request_error', code: 'invalid_request_error' } as const;
const notFound = { ...invalidRequest, status: 404, code: 'not_found' } as const;
const serverError = { type: 'server_error', code: 'server_error' } as const;
const field = { parameter: '{field}' } as const;

export const requestErrors = {
  'malformed-json': { ...invalidRequest, message: 'Failed to parse the request body as JSON: {problem}' },
  'wrong-shape': {
    ...{ ...invalidRequest, ...field },
    message: 'Failed to deserialize the JSON body into the target type: {field}: {problem}',
  },
  'invalid-field': { ...invalidRequest, ...field, message: '{field}: {problem}' },
  'unknown-model': {
    ...{ ...invalidRequest, parameter: 'model' },
    message: 'The supported API model names are {supported}, but you passed {passed}.',
  },
  'wrong-key': {
    ...{ status: 401, type: 'authentication_error', code: 'invalid_request_error' },
    message: 'Authentication Fails, Your api key: ****{lastFour} is invalid',
  },
  'insufficient-balance': {
    ...{ status: 402, type: 'unknown_error', code: 'invalid_request_error' },
    message: 'Insufficient Balance',
  },
  'budget-spent': {
    ...{ status: 402, type: 'unknown_error', code: 'invalid_request_error' },
    message: 'Insufficient Balance: the budget of this key is spent',
  },
  'not-permitted': {
    ...{ status: 403, type: 'permission_error', code: 'permission_denied' },
    message: 'Not permitted: {problem}',
  },
  'context-exceeded': {
    ...invalidRequest,
    // In one piece, as only a literal tells its placeholders.
    message:
      "This model's maximum context length is {limit} tokens. However, you requested {requested} tokens ({prompt} in the messages, {completion} in the completion). Please reduce the length of the messages or completion.",
  },
  'forced-tool-while-thinking': {
    ...{ ...invalidRequest, parameter: 'tool_choice' },
    message: 'Thinking mode does not support this tool_choice',
  },
  'reasoning-missing': {
    ...{ ...invalidRequest, ...field },
    message: 'The `reasoning_content` in the thinking mode must be passed back to the API.',
  },
  'unenforceable-format': { ...invalidRequest, ...field, message: '{field}: cannot be enforced{place}: {problem}' },
  'embeddings-unsupported': {
    ...{ ...invalidRequest, parameter: 'model' },
    message: 'model: {model} generates text and has no embeddings; none of the models here has',
  },
  'threads-unsupported': {
    ...{ ...invalidRequest, parameter: 'thread' },
    message: 'thread: conversations are not held here; send all messages with every request',
  },
  'file-too-large': {
    ...{ ...invalidRequest, status: 413, parameter: 'file' },
    message: 'file: is larger than {limitBytes} bytes',
  },
  'storage-full': {
    ...{ ...invalidRequest, parameter: 'file' },
    message:
      'file: there is no room for it beside the others: {maxFiles} files of together {maxBytes} bytes are allowed. Delete some first.',
  },
  'training-unavailable': { ...invalidRequest, message: 'Nothing is trained on this server: {problem}' },
  'checkpoint-unavailable': {
    ...{ ...serverError, status: 503, code: 'service_unavailable' },
    message: '{model} cannot be loaded now: {problem}',
  },
  'undeletable-model': { ...{ ...invalidRequest, status: 409 }, message: '{model} cannot be deleted: {problem}' },
  'image-unsupported': { ...invalidRequest, ...field, message: '{field}: This model does not support image' },
  'empty-assistant-message': { ...invalidRequest, ...field, message: '{field}: content or tool_calls must be set' },
  'malformed-http': { ...invalidRequest, message: 'Malformed HTTP request: {problem}' },
  'request-timeout': { ...{ ...invalidRequest, status: 408 }, message: 'The request took too long to arrive' },
  'unknown-route': { ...notFound, message: 'Unknown route: {method} {path}' },
  'unknown-object': { ...notFound, ...field, message: "{kind} with id '{id}' not found." },
  'body-too-large': {
    ...{ ...invalidRequest, status: 413 },
    message: 'The request body is larger than {limitBytes} bytes',
  },
  'unsupported-media-type': {
    ...{ ...invalidRequest, status: 415 },
    message: 'Content-Type: expected {expected}, got {passed}',
  },
  'queue-full': {
    ...{ status: 429, type: 'rate_limit_error', code: 'rate_limit_exceeded' },
    message: 'Rate limit reached: {waiting} requests are waiting already. Please try again later.',
  },
  'rate-limited': {
    ...{ status: 429, type: 'rate_limit_error', code: 'rate_limit_exceeded' },
    message: 'Rate limit reached: this key has {limit}. Please try again in {seconds} seconds.',
  },
  internal: { ...serverError, status: 500, message: 'The server had an error while processing your request' },
  'shutting-down': {
    ...{ ...serverError, status: 503, code: 'service_unavailable' },
    message: 'The server is shutting down; try again shortly',
  },
  'upstream-refused': { ...invalidRequest, message: 'The server behind this model refuses the request: {problem}' },
  'upstream-failed': { ...serverError, status: 502, message: 'The server behind {model} failed: {problem}' },
  'upstream-unavailable': {
    ...{ ...serverError, status: 503, code: 'service_unavailable' },
    message: 'No server behind {model} can answer now; try again shortly',
  },
} as const satisfies Record<string, ErrorRow>;

export type RequestErrorCode = keyof typeof requestErrors;

/** The names in braces of a text. */
type Placeholder<T> = T extends `${string}{${infer Name}}${infer Rest}` ? Name | Placeholder<Rest> : never;
type Details<Row> = Row extends { readonly message: infer M; readonly parameter?: infer P }
  ? Placeholder<M> | Placeholder<P>
  : never;
/** A list is told with commas. */
type Detail = string | number | readonly string[];

/** What `requestError` must be given for a row: a value for each of its placeholders. */
export type ErrorDetails<C extends RequestErrorCode> = [Details<(typeof requestErrors)[C]>] extends [never]
  ? []
  : [details: Readonly<Record<Details<(typeof requestErrors)[C]>, Detail>>];

/** A caller's mistake, or a refusal the caller should hear about. Its message is safe to send as it is. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  readonly code: RequestErrorCode;
  readonly status: number;
  /** The field to blame, undefined where no single one is. */
  readonly parameter: string | undefined;

  /** After how long the same may go well; undefined where nobody knows. */
  readonly retryAfterSeconds: number | undefined;

  constructor(code: RequestErrorCode, message: string, parameter: string | undefined, retryAfterSeconds?: number) {
    super(message);
    this.code = code;
    this.status = requestErrors[code].status;
    this.parameter = parameter;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** `requestError('unknown-model', { supported, passed })`: the row's own wording of one case. */
export function requestError<C extends RequestErrorCode>(code: C, ...[details]: ErrorDetails<C>): RequestError {
  const { message, parameter }: ErrorRow = requestErrors[code];
  const given: Readonly<Record<string, Detail>> = details ?? {};
  const field = parameter === undefined ? undefined : filled(parameter, given);
  // Rows that say when to try again call it so.
  return new RequestError(
    code,
    filled(message, given),
    field,
    typeof given.seconds === 'number' ? given.seconds : undefined,
  );
}

function filled(template: string, details: Readonly<Record<string, Detail>>): string {
  return template.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const detail = details[name];
    return typeof detail === 'object' ? detail.join(', ') : String(detail);
  });
}
