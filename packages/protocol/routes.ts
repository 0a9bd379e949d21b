// Every call of the API, as one closed table.
//
// Owns which paths there are, under which bases they stand, whose envelope their errors come in, and what they are for in one
// line. The server registers its handlers by it, the reference page is made of it, and tests walk it. Knows no handler.

export type Method = 'GET' | 'POST' | 'DELETE';

export interface Route {
  readonly method: Method;
  /** After the base; `:id` stands for a name. */
  readonly path: string;
  readonly bases: readonly string[];
  /** Whose envelope its errors come in. */
  readonly dialect: Dialect;
  readonly tag: string;
  readonly summary: string;
}

/** `deepseek`: what DeepSeek serves as its own; `openai`: what it took over whole, or does not have. */
export type Dialect = 'deepseek' | 'openai' | 'anthropic';

/** "v1 has no relationship with the model version" (DeepSeek); what is beta there is beta nowhere here. */
const openaiBases = ['', '/v1', '/beta'];
/** The SDK adds /v1 to its base, which is /anthropic on DeepSeek; clients of Anthropic's own take the bare one. */
const anthropicBases = ['/anthropic', ''];
const deepseek = { bases: openaiBases, dialect: 'deepseek' } as const;
const openai = { bases: openaiBases, dialect: 'openai' } as const;
const anthropic = { bases: anthropicBases, dialect: 'anthropic' } as const;

const get = <P extends string>(path: P, summary: string) => ({ method: 'GET', path, summary }) as const;
const post = <P extends string>(path: P, summary: string) => ({ method: 'POST', path, summary }) as const;
const remove = <P extends string>(path: P, summary: string) => ({ method: 'DELETE', path, summary }) as const;

const chat = { ...deepseek, tag: 'Chat completions' } as const;
const texts = { ...deepseek, tag: 'Completions' } as const;
const tokens = { ...openai, tag: 'Tokens and embeddings' } as const;
const responses = { ...openai, tag: 'Responses' } as const;
const messages = { ...anthropic, tag: 'Anthropic Messages' } as const;
const models = { ...deepseek, tag: 'Models' } as const;
const server = { ...deepseek, bases: [''], tag: 'Server' } as const;

/** By operation id. */
export const routes = {
  createChatCompletion: { ...chat, ...post('/chat/completions', 'Answer a conversation') },

  createCompletion: { ...texts, ...post('/completions', 'Go on with a text, or fill a gap in it') },

  createEmbedding: { ...tokens, ...post('/embeddings', 'Embeddings, where a model has them') },
  tokenize: { ...tokens, ...post('/tokenize', 'The tokens of a text or a conversation') },
  detokenize: { ...tokens, ...post('/detokenize', 'The text of tokens') },

  createResponse: { ...responses, ...post('/responses', 'Make a response') },
  countResponseTokens: { ...responses, ...post('/responses/input_tokens', 'Count the tokens of an input') },
  getResponse: { ...responses, ...get('/responses/:id', 'Fetch a response, or follow its events') },
  deleteResponse: { ...responses, ...remove('/responses/:id', 'Delete a response') },
  cancelResponse: { ...responses, ...post('/responses/:id/cancel', 'Stop a response in the background') },
  listResponseItems: { ...responses, ...get('/responses/:id/input_items', 'What a response was asked') },

  createMessage: { ...messages, ...post('/v1/messages', 'Answer a conversation') },
  countMessageTokens: { ...messages, ...post('/v1/messages/count_tokens', 'Count the tokens of a conversation') },

  listModels: { ...models, ...get('/models', 'The models there are') },
  getModel: { ...models, ...get('/models/:id', 'One model') },

  getHealth: { ...server, ...get('/healthz', 'Whether the server answers') },
  getOpenApi: { ...server, ...get('/openapi.json', 'This description of the API') },
} as const satisfies Record<string, Route>;

export type OperationId = keyof typeof routes;

const patterns = Object.values(routes).flatMap(({ bases, path, dialect }) =>
  bases.map((base) => ({ dialect, pattern: new RegExp(`^${base}${path.replaceAll(/:\w+/g, '[^/]+')}/?$`) })),
);

/** Whose envelope errors come in at a path that has no route, or none for the method that was used. */
export function dialectAt(path: string): Dialect {
  const found = patterns.find(({ pattern }) => pattern.test(path));
  return found?.dialect ?? (path.startsWith('/anthropic/') ? 'anthropic' : 'deepseek');
}
