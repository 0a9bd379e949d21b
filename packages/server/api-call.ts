// A call that came by a route of the API.
//
// Owns what a handler may know of a request: everything but the connection. What it gives back is an object to send, a file, a text, or
// a plan for an answer that takes its time.

import type { AnswerPlan, Call } from './answer-plan.ts';
import type { FileDownload } from './file-download.ts';
import type { TextPage } from './text-page.ts';
import type { Upload } from './upload.ts';

export interface ApiCall extends Call {
  /** Names in its path; `id` where the route has one. */
  readonly params: { readonly id: string };
  readonly query: Readonly<Record<string, string | undefined>>;
  /** By names in small letters; of one that is given twice, all. */
  readonly headers: Readonly<Record<string, string>>;
  /** The file in its body. Throws `RequestError` where the body is no form. */
  upload(limitBytes: number): Upload;
}

export type ApiResult = AnswerPlan | FileDownload | TextPage | object;

/** Throws `RequestError` for a caller's mistake. */
export type Handler = (call: ApiCall) => ApiResult | Promise<ApiResult>;

export function isPlan(result: ApiResult): result is AnswerPlan {
  return 'start' in result && 'leave' in result;
}
