// What a caller asks of a chat model, in words of our own.
//
// Every dialect of the API is parsed into this shape once, at the edge; past it every field is present, checked and
// readonly, and wire names such as `top_p` are gone. Says nothing about how a model renders or samples.

/** What JSON can say. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export type JsonObject = { readonly [key: string]: JsonValue };

/** How hard to think before the answer; `off` answers at once. */
export type Thinking = 'off' | 'low' | 'high' | 'max';

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text, as the model wrote it: not necessarily valid. */
  readonly arguments: string;
}

export type Message =
  | { readonly role: 'system' | 'user'; readonly content: string }
  | {
      readonly role: 'assistant';
      readonly content: string;
      /** Empty when the caller did not pass it back. */
      readonly reasoning: string;
      readonly toolCalls: readonly ToolCall[];
      /** The turn as the model wrote it, where that is known: never from a caller. */
      readonly written?: { readonly text: string; readonly beginning: 'reasoning' | 'content' };
      /** Only of the last message: the answer goes on where it ends, in its reasoning where it has no content yet. */
      readonly isPrefix?: boolean;
    }
  | { readonly role: 'tool'; readonly content: string; readonly toolCallId: string };

export interface FunctionTool {
  readonly name: string;
  readonly description: string | undefined;
  /** JSON Schema of the arguments; undefined: there are none. */
  readonly parameters: JsonObject | undefined;
  /** Whether the model is held to the schema. */
  readonly isStrict: boolean;
}

/** What the answer must look like. The model is held to it; reasoning and tool calls are outside of it. */
export type ResponseFormat =
  | { readonly type: 'text' }
  /** Any JSON object. */
  | { readonly type: 'json-object' }
  /** `isStrict`: keywords that no standard knows are refused. */
  | { readonly type: 'json-schema'; readonly schema: JsonObject; readonly isStrict: boolean }
  /** The whole answer matches the pattern. */
  | { readonly type: 'regex'; readonly pattern: string }
  | { readonly type: 'choice'; readonly options: readonly string[] };

export type ToolChoice =
  | { readonly type: 'none' }
  | { readonly type: 'auto' }
  | { readonly type: 'required' }
  | { readonly type: 'function'; readonly name: string };

/**
 * How the answer is guessed ahead of the model, which changes its speed and never its text. `default`: as the server sees
 * fit; `num_draft_tokens` absent: as many as pay.
 */
export type Speculation =
  | { readonly method: 'default' | 'none' }
  | { readonly method: 'mtp' | 'ngram' | 'draft'; readonly draftTokens: number | 'adaptive' };

/** `asked` must fit into the context beside the prompt; `default` gives way to it. */
export type MaxTokens = { readonly type: 'asked' | 'default'; readonly tokens: number };

/** How an answer is chosen, guessed ahead and scheduled, whatever was asked. */
export interface SamplingRequest {
  /** 0 picks the likeliest token. */
  readonly temperature: number;
  /** In (0, 1]. */
  readonly topP: number;
  /** Most probable tokens to draw from; 0: all. */
  readonly topK: number;
  /** Share of the most probable token's probability below which none is drawn; 0: none is left out. */
  readonly minP: number;
  /** -2 to 2 each. */
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  /** Token ids and what is added to their logits, -100 to 100. */
  readonly logitBias: readonly (readonly [id: number, bias: number])[];
  readonly seed: number | undefined;
  /** Up to 16, none empty. */
  readonly stop: readonly string[];
  readonly speculation: Speculation;
  /** `batch`: may wait for others. */
  readonly priority: 'interactive' | 'batch';
  /** Namespace for caches and scheduling; empty when the caller named none. */
  readonly userId: string;
  /** Tokens, prompt and completion together, that are allowed under the name that was asked for. */
  readonly contextWindow: number;
}

/** Where the caller wrote what may turn out to be wrong only later, as wire paths for errors to name. */
export interface RequestPlaces {
  readonly messages: 'messages' | 'input';
  /** What `responseFormat` came from. */
  readonly format: string;
  /** Each of `tools`, and the name that the schema of its arguments has there. */
  readonly tools: readonly string[];
  readonly schema: 'parameters' | 'input_schema';
}

export interface ChatRequest extends SamplingRequest {
  readonly model: string;
  /** At least one. Every tool result answers a call of the assistant message before it, and no call lacks its result. */
  readonly messages: readonly Message[];
  readonly thinking: Thinking;
  /** Reasoning included, unless that has a limit of its own. */
  readonly maxTokens: MaxTokens;
  /** Tokens of reasoning at most, beside those of the answer; undefined: `maxTokens` is for both. */
  readonly maxReasoning: number | undefined;
  readonly responseFormat: ResponseFormat;
  /** Names are unique. */
  readonly tools: readonly FunctionTool[];
  readonly toolChoice: ToolChoice;
  /** Alternatives wanted beside each token's log-probability, 0 to 20; undefined when none are wanted at all. */
  readonly topLogprobs: number | undefined;
  /** What the answer is expected to hold; empty when the caller expects nothing. */
  readonly prediction: string;
  readonly places: RequestPlaces;
}
