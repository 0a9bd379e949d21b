// One engine in a process of its own, and what can be asked of it.
//
// Owns the conversation: a question in, seconds or bytes out. The engines are hadal.ts beside this file and
// peers/llama-cpp/engine.ts; knows neither. A process for each keeps their memory apart and lets both hold their model
// while they take turns.

import { type ChildProcess, fork } from 'node:child_process';
import process from 'node:process';
import type { Format, shapes } from './shapes.ts';

export interface Question {
  /** `file`: where the engine may write the weights, if it reads them from a file. */
  load: {
    readonly shape: keyof typeof shapes;
    readonly format: Format;
    readonly file: string;
    readonly threads: number;
    /** Where prefixes are kept on disk; undefined: nowhere. */
    readonly prefixes?: string | undefined;
  };
  /** Reads `tokens` tokens from the beginning of a context. */
  prefill: { readonly tokens: number };
  /** Generates `tokens` tokens, one after another, after `context` tokens. */
  decode: { readonly context: number; readonly tokens: number };
  /** Lets `count` sequences, each after a prompt of its own, generate `tokens` tokens side by side. */
  streams: { readonly count: number; readonly tokens: number };
  /** Has a prompt of so many tokens come while `streams` sequences generate. `round`: to be another one each time. */
  arrival: { readonly streams: number; readonly promptTokens: number; readonly round: number };
  /** Reads prompt number `round` for its first token. */
  prompt: { readonly tokens: number; readonly round: number };
  /** Writes what is still to be written. */
  close: Readonly<Record<never, never>>;
  memory: Readonly<Record<never, never>>;
  yardsticks: Readonly<Record<never, never>>;
}

export interface Answer {
  load: Counts;
  prefill: { readonly seconds: number };
  decode: { readonly seconds: number };
  /** From when all of them generate, and the tokens that came meanwhile. */
  streams: { readonly seconds: number; readonly tokens: number };
  /** Until the prompt's first token, and between the tokens of the other sequences until then. */
  arrival: { readonly firstTokenSeconds: number; readonly gapSeconds: readonly number[] };
  prompt: { readonly firstTokenSeconds: number; readonly hitTokens: number };
  close: Readonly<Record<never, never>>;
  /** Of the process. */
  memory: { readonly bytes: number };
  /** What the machine can do, measured now: bytes read, and multiply-adds counted as two operations, each second. */
  yardsticks: { readonly reading: number; readonly floats: number; readonly integers: number };
}

export interface Counts {
  readonly version: string;
  readonly weightBytes: number;
  readonly cacheBytes: number;
  /** Of one token, where the engine knows: bytes of weights, and multiply-adds with quantized weights but the head's. */
  readonly weightBytesRead?: number;
  readonly multiplyAdds?: number;
}

/** Each engine answers those that it is asked. */
export type Engine = {
  readonly [K in keyof Question]?: (question: Question[K]) => Answer[K] | undefined | Promise<Answer[K] | undefined>;
};

/** Room of an engine's two sequences. */
export const sequenceTokens = { short: 2048 + 256, deep: 8192 + 256 } as const;

/** Tokens of the prompt of each of many streams. */
export const streamPrompt = 32;

/** Answers the parent's questions until it leaves. */
export function answerQuestions(engine: Engine): void {
  process.on('message', async ([kind, question]: [keyof Question, never]) => {
    try {
      process.send?.({ answer: await engine[kind]?.(question) });
    } catch (error) {
      process.send?.({ error: error instanceof Error ? error.message : String(error) });
    }
  });
  // An orderly exit would wait for what another engine computes in threads of its own.
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
}

export class Contestant {
  readonly name: string;
  readonly #child: ChildProcess;

  constructor(name: string, program: string) {
    this.name = name;
    this.#child = fork(program);
  }

  async ask<K extends keyof Question>(kind: K, question: Question[K]): Promise<Answer[K]> {
    const child = this.#child;
    const reply = new Promise<{ answer?: Answer[K]; error?: string }>((resolve, reject) => {
      const gone = (code: number | null) => reject(new Error(`${this.name} ended with code ${code} during ${kind}`));
      child.once('exit', gone);
      child.once('message', (message) => {
        child.off('exit', gone);
        resolve(message as { answer?: Answer[K]; error?: string });
      });
    });
    child.send([kind, question]);
    const { answer, error } = await reply;
    if (answer === undefined) throw new Error(`${this.name}: ${kind}: ${error ?? 'no answer'}`);
    return answer;
  }

  async close(): Promise<void> {
    if (!this.#child.connected) return;
    const ended = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
    this.#child.disconnect();
    await ended;
  }
}
