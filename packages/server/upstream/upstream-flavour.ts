// What the servers that speak OpenAI's API understand beyond it.
//
// Owns the table of flavours: how each is told to think, to keep to a form, to go on with a beginning, to keep callers' caches
// apart, and where it says that it is well. A row that is missing does not compile. Knows no request and no connection.

export const flavours = ['vllm', 'sglang', 'llama-server', 'deepseek', 'hadal', 'openai'] as const;
export type Flavour = (typeof flavours)[number];

export interface FlavourTraits {
  /** `fields`: DeepSeek's `thinking` and `reasoning_effort`. `template`: variables of the chat template. */
  readonly thinking: 'fields' | 'template' | 'none';
  /** Whether it takes `top_k` and `min_p`. */
  readonly samplesFully: boolean;
  readonly takesLogitBias: boolean;
  readonly takesSchemas: boolean;
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

export const flavourTraits: Readonly<Record<Flavour, FlavourTraits>> = {
  vllm: {
    ...{ thinking: 'template', samplesFully: true, takesLogitBias: true, takesSchemas: true },
    ...{ patterns: 'structured_outputs', prefix: 'continue', takesReasoning: true, namespace: 'cache_salt' },
    ...{ fillsMiddle: false, tokenize: 'vllm', usageOnChunks: true, health: 'root' },
  },
  sglang: {
    ...{ thinking: 'template', samplesFully: true, takesLogitBias: true, takesSchemas: true },
    ...{ patterns: 'regex', prefix: 'continue', takesReasoning: true, namespace: 'cache_salt' },
    ...{ fillsMiddle: false, tokenize: 'vllm', usageOnChunks: false, health: 'root' },
  },
  'llama-server': {
    ...{ thinking: 'template', samplesFully: true, takesLogitBias: true, takesSchemas: true },
    ...{ patterns: 'grammar', prefix: 'implied', takesReasoning: true, namespace: 'none' },
    ...{ fillsMiddle: false, tokenize: 'llama-server', usageOnChunks: false, health: 'root' },
  },
  deepseek: {
    ...{ thinking: 'fields', samplesFully: false, takesLogitBias: false, takesSchemas: false },
    ...{ patterns: 'none', prefix: 'field', takesReasoning: true, namespace: 'user_id' },
    ...{ fillsMiddle: true, tokenize: 'none', usageOnChunks: false, health: 'models' },
  },
  hadal: {
    ...{ thinking: 'fields', samplesFully: true, takesLogitBias: true, takesSchemas: true },
    ...{ patterns: 'structured_outputs', prefix: 'field', takesReasoning: true, namespace: 'user_id' },
    ...{ fillsMiddle: true, tokenize: 'vllm', usageOnChunks: false, health: 'models' },
  },
  openai: {
    ...{ thinking: 'none', samplesFully: false, takesLogitBias: true, takesSchemas: true },
    ...{ patterns: 'none', prefix: 'none', takesReasoning: false, namespace: 'none' },
    ...{ fillsMiddle: true, tokenize: 'none', usageOnChunks: false, health: 'models' },
  },
};

/** By `owned_by` in a server's list of models; undefined for a server that is none of those with a way of its own. */
const owners: Readonly<Record<string, Flavour>> = {
  ...{ vllm: 'vllm', sglang: 'sglang', llamacpp: 'llama-server', deepseek: 'deepseek', hadal: 'hadal' },
};

/** The flavour that a list of models shows, by the model that is asked for or else the first. */
export function flavourOf(list: unknown, model: string): Flavour {
  const { data } = (list ?? {}) as { readonly data?: unknown };
  const cards = Array.isArray(data) ? (data as { readonly id?: unknown; readonly owned_by?: unknown }[]) : [];
  const card = cards.find((one) => one?.id === model) ?? cards[0];
  return owners[String(card?.owned_by)] ?? 'openai';
}
