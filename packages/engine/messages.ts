// What the engine's two threads say to each other.

import type { LoadProgress } from '@hadal/models/language-model';
import type { GenerateRequest, ModelInfo } from './engine.ts';
import type { FitOptions } from './fit-model.ts';
import type { PageFilesOptions } from './page-files.ts';
import type { RequestEvent } from './sequence.ts';

export interface WorkerOptions {
  /** The checkpoint's. */
  readonly path: string;
  readonly threads: number | undefined;
  readonly fit: FitOptions;
  readonly prefixes: PageFilesOptions | undefined;
}

export type ToWorker =
  | { readonly type: 'generate'; readonly key: number; readonly request: GenerateRequest; readonly seed: number }
  | { readonly type: 'abort'; readonly key: number }
  | { readonly type: 'close' };

export type FromWorker =
  | { readonly type: 'progress'; readonly progress: LoadProgress }
  | { readonly type: 'opened'; readonly model: Omit<ModelInfo, 'id'> }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'event'; readonly key: number; readonly event: RequestEvent };
