// What a chat model answers, piece by piece.
//
// One stream of these stands between any model and any dialect of the API: `start`, then text and tool calls in the
// order they were generated, then one `finish`. Knows neither tokens nor JSON shapes.

/**
 * `insufficient_system_resource`: the time that the server gives a request was up. `content_filter`: an upstream has left out the
 * rest; our own models do not.
 */
export type FinishReason =
  | 'stop'
  | 'length'
  | 'tool_calls'
  | 'content_filter'
  | 'aborted'
  | 'insufficient_system_resource';

/** Token counts. The prompt is `cacheHit + cacheMiss`; `reasoning` is a part of `completion`. */
export interface Usage {
  readonly prompt: number;
  readonly cacheHit: number;
  readonly completion: number;
  readonly reasoning: number;
  /** Guessed tokens that came true, which are part of `completion`, and those that did not, which are not. */
  readonly acceptedPrediction: number;
  readonly rejectedPrediction: number;
  /** Whether an upstream has not said what it took, so that it was counted here, perhaps by another model's tokenizer. */
  readonly isEstimate?: true;
}

/** Of what took nothing. */
export const noUsage: Usage = {
  ...{ prompt: 0, cacheHit: 0, completion: 0, reasoning: 0, acceptedPrediction: 0, rejectedPrediction: 0 },
};

export interface TokenLogprob {
  /** With U+FFFD where the token is only a part of a character. */
  readonly token: string;
  /** In UTF-8, exactly. */
  readonly bytes: Uint8Array;
  readonly logprob: number;
}

export interface TokenLogprobs extends TokenLogprob {
  /** The likeliest tokens in this place, likeliest first. */
  readonly top: readonly TokenLogprob[];
}

export type ChatEvent =
  /** The request is accepted: from here on a caller's mistake can no longer be the reason for a failure. */
  | {
      readonly type: 'start';
      /** Where they are known by then. */
      readonly promptTokens?: number;
    }
  /** `logprobs` is empty unless the request asked for them. */
  | { readonly type: 'reasoning' | 'content'; readonly text: string; readonly logprobs: readonly TokenLogprobs[] }
  /** Calls are numbered from 0 and do not interleave. */
  | { readonly type: 'tool-call'; readonly index: number; readonly id: string; readonly name: string }
  /** The next piece of the JSON text of the arguments of call `index`. */
  | { readonly type: 'tool-call-arguments'; readonly index: number; readonly text: string }
  | {
      readonly type: 'finish';
      readonly reason: FinishReason;
      readonly usage: Usage;
      /** The stop string of the request that ended the answer; undefined where it was something else, or is not known. */
      readonly stopString?: string | undefined;
      /** How long it waited before anything was done for it, where that is known. */
      readonly queuedMs?: number | undefined;
    };
