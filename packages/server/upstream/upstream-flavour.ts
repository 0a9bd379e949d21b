// What the servers that speak OpenAI's API understand beyond it.
//
// Owns the table of flavours: how each is told to think, to keep to a form, to go on with a beginning, to keep callers' caches
// apart, and where it says that it is well. A row that is missing does not compile. Knows no request and no connection.

export const flavours = ['vllm', 'sglang', 'llama-server', 'transformers', 'deepseek', 'hadal', 'openai'] as const;
export type Flavour = (typeof flavours)[number];

export interface FlavourTraits {
  /**
   * `fields`: DeepSeek's `thinking` and `reasoning_effort`. `template`: variables of the chat template; `effort`: and the effort as
   * a field beside them.
   */
  readonly thinking: 'fields' | 'template' | 'effort' | 'none';
  /** Whether it takes `top_k` and `min_p`. */
  readonly samplesFully: boolean;
  readonly takesLogitBias: boolean;
  readonly takesLogprobs: boolean;
  /** Whether `/completions` gives the prompt back. */
  readonly echoes: boolean;
  /** Which forms an answer can be held to. */
  readonly formats: 'schema' | 'json' | 'none';
  /** Whether calls of tools can be asked for; otherwise they are the model's to make. */
  readonly forcesCalls: boolean;
  /** How an answer that matches a pattern, or is one of several texts, is asked for; `grammar`: the texts only. */
  readonly patterns: 'structured_outputs' | 'regex' | 'grammar' | 'none';
  /** How an answer with a given beginning is asked for; `implied`: by an assistant's message that is the last. */
  readonly prefix: 'field' | 'continue' | 'implied' | 'none';
  /** Whether earlier reasoning may stand in the messages. */
  readonly takesReasoning: boolean;
  /** The field that keeps caches of different callers apart. */
  readonly namespace: 'user_id' | 'cache_salt' | 'none';
  /** Whether `/completions` takes `suffix`. */
  readonly fillsMiddle: boolean;
  /** Whose `/tokenize` it has. */
  readonly tokenize: 'vllm' | 'llama-server' | 'none';
  /** Whether usage may ride on every chunk, so that it is known of an answer that is left early. */
  readonly usageOnChunks: boolean;
  /** `root`: `GET /health` beside `/v1`. `models`: the list of models, under the URL itself. */
  readonly health: 'root' | 'models';
}

/** What most of them have. */
const full: Pick<
  FlavourTraits,
  | 'samplesFully'
  | 'takesLogitBias'
  | 'takesLogprobs'
  | 'echoes'
  | 'formats'
  | 'forcesCalls'
  | 'takesReasoning'
  | 'usageOnChunks'
> = {
  ...{ samplesFully: true, takesLogitBias: true, takesLogprobs: true, echoes: true },
  ...{ formats: 'schema', forcesCalls: true, takesReasoning: true, usageOnChunks: false },
};

export const flavourTraits: Readonly<Record<Flavour, FlavourTraits>> = {
  vllm: {
    ...{ ...full, thinking: 'effort', patterns: 'structured_outputs', prefix: 'continue', namespace: 'cache_salt' },
    ...{ fillsMiddle: false, tokenize: 'vllm', usageOnChunks: true, health: 'root' },
  },
  sglang: {
    ...{ ...full, thinking: 'effort', patterns: 'regex', prefix: 'continue', namespace: 'cache_salt' },
    ...{ fillsMiddle: false, tokenize: 'vllm', usageOnChunks: true, health: 'root' },
  },
  'llama-server': {
    ...{ ...full, thinking: 'template', patterns: 'grammar', prefix: 'implied', namespace: 'none', echoes: false },
    ...{ fillsMiddle: false, tokenize: 'llama-server', health: 'root' },
  },
  // What it does not know it leaves out without a word, so it is not asked. A suffix it only puts behind the text.
  transformers: {
    ...{ ...full, thinking: 'template', patterns: 'none', prefix: 'none', namespace: 'none', formats: 'none' },
    ...{ samplesFully: false, takesLogprobs: false, echoes: false, forcesCalls: false, takesReasoning: false },
    ...{ fillsMiddle: false, tokenize: 'none', health: 'root' },
  },
  deepseek: {
    ...{ ...full, thinking: 'fields', patterns: 'none', prefix: 'field', namespace: 'user_id', formats: 'json' },
    ...{ samplesFully: false, takesLogitBias: false, fillsMiddle: true, tokenize: 'none', health: 'models' },
  },
  hadal: {
    ...{ ...full, thinking: 'fields', patterns: 'structured_outputs', prefix: 'field', namespace: 'user_id' },
    ...{ fillsMiddle: true, tokenize: 'vllm', health: 'models' },
  },
  openai: {
    ...{ ...full, thinking: 'none', patterns: 'none', prefix: 'none', namespace: 'none' },
    ...{ samplesFully: false, takesReasoning: false, fillsMiddle: true, tokenize: 'none', health: 'models' },
  },
};

/** By `owned_by` in a server's list of models; undefined for a server that is none of those with a way of its own. */
const owners: Readonly<Record<string, Flavour>> = {
  ...{ vllm: 'vllm', sglang: 'sglang', llamacpp: 'llama-server', deepseek: 'deepseek', hadal: 'hadal' },
};

/** What a server shows of itself. */
export interface ServerTraits {
  readonly flavour: Flavour;
  /** undefined: it does not say. */
  readonly contextWindow: number | undefined;
}

/** What a list of models says, of the model that is asked for or else of the first. */
export function traitsIn(list: unknown, model: string): ServerTraits {
  const { data } = (list ?? {}) as { readonly data?: unknown };
  const cards: Readonly<Record<string, unknown>>[] = Array.isArray(data) ? data : [];
  const card = cards.find((one) => one?.id === model) ?? cards[0];
  // vLLM's and SGLang's name for it, then ours.
  const tokens = card?.max_model_len ?? card?.context_window;
  return {
    flavour: owners[String(card?.owned_by)] ?? 'openai',
    contextWindow: Number.isSafeInteger(tokens) ? (tokens as number) : undefined,
  };
}
