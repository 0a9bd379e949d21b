// What goes between a sandbox and its process, a line of JSON each way.
//
// Owns the shapes of request and reply and their bounds. Both sides are ours; what a program of the caller's says reaches a reply only
// as a number or as a text of bounded length.

export type SandboxLanguage = 'python' | 'javascript';

export type SandboxRequest =
  /** Whether the source compiles and, run, defines `grade`. */
  | { readonly type: 'check'; readonly source: string }
  | { readonly type: 'grade'; readonly source: string; readonly sample: unknown; readonly item: unknown };

export type SandboxReply =
  | { readonly type: 'ready' }
  /** `reward` is 0 after a check. */
  | { readonly type: 'fine'; readonly reward: number }
  /** What the program did wrong: it does not compile, throws, or returns no number. */
  | { readonly type: 'mistake'; readonly message: string }
  | { readonly type: 'memory'; readonly message: string }
  | { readonly type: 'late'; readonly message: string };

/** What a process is told when it is started. */
export interface SandboxSettings {
  /** Of computing, for one request. */
  readonly timeoutMs: number;
  /** Of the program's own memory. */
  readonly memoryBytes: number;
  /** Folder of the interpreter, with a slash. */
  readonly interpreter: string;
}

export const maxMessageCharacters = 2000;
/** A reply is far smaller. */
export const maxReplyBytes = 64 * 1024;
