// What the engine's two threads say to each other.

import type { LoadProgress } from '@hadal/models/language-model';
import type { EngineLoad, GenerateRequest, ModelInfo } from './engine.ts';
import type { FitOptions } from './fit-model.ts';
import type { PageFilesOptions } from './page-files.ts';
import type { RequestEvent } from './sequence.ts';
import type { AdapterInfo } from './served-adapters.ts';

export interface WorkerOptions {
  /** The checkpoint's. */
  readonly path: string;
  readonly threads: number | undefined;
  readonly fit: FitOptions;
  readonly prefixes: PageFilesOptions | undefined;
  /** Of the checkpoint that guesses ahead. */
  readonly drafterPath: string | undefined;
}

export type ToWorker =
  | { readonly type: 'generate'; readonly key: number; readonly request: GenerateRequest; readonly seed: number }
  | { readonly type: 'abort'; readonly key: number }
  /** Answered in order. */
  | { readonly type: 'load' }
  /** These two are answered in order. */
  | { readonly type: 'loadAdapter'; readonly name: string; readonly directory: string }
  | { readonly type: 'unloadAdapter'; readonly name: string }
  | { readonly type: 'close' };

export type FromWorker =
  | { readonly type: 'progress'; readonly progress: LoadProgress }
  | { readonly type: 'opened'; readonly model: Omit<ModelInfo, 'id'> }
  | { readonly type: 'load'; readonly load: EngineLoad }
  | { readonly type: 'failed'; readonly message: string }
  /** What was asked for is done; undefined: the adapter is unloaded. */
  | { readonly type: 'adapter'; readonly adapter: AdapterInfo | undefined }
  | { readonly type: 'noAdapter'; readonly message: string }
  /** What happened since the last ones, in order: a message for each event would cost a small model more than the step. */
  | { readonly type: 'events'; readonly events: readonly KeyedEvent[] };

/** An event of the request with this key. */
export type KeyedEvent = readonly [key: number, event: RequestEvent];
