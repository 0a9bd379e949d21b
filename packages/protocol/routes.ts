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
  /** A body is JSON, but for those who take a form with a file. */
  readonly takes?: 'form';
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
/** OpenAI's, which DeepSeek does not have. */
const storedChats = { ...openai, tag: 'Chat completions' } as const;
const texts = { ...deepseek, tag: 'Completions' } as const;
const tokens = { ...openai, tag: 'Tokens and embeddings' } as const;
const responses = { ...openai, tag: 'Responses' } as const;
const messages = { ...anthropic, tag: 'Anthropic Messages' } as const;
const models = { ...deepseek, tag: 'Models' } as const;
const batches = { ...openai, tag: 'Batches' } as const;
const files = { ...openai, tag: 'Files' } as const;
const tuning = { ...openai, tag: 'Fine-tuning' } as const;
/** Anthropic's own paths for what has another shape on the same path; `anthropic-version` tells its clients apart. */
const anthropicOnly = { ...anthropic, bases: ['/anthropic'] } as const;
const anthropicFiles = { ...anthropicOnly, tag: 'Anthropic Files' } as const;
const server = { ...deepseek, bases: [''], tag: 'Server' } as const;

/** By operation id. */
export const routes = {
  createChatCompletion: { ...chat, ...post('/chat/completions', 'Answer a conversation') },
  listChatCompletions: { ...storedChats, ...get('/chat/completions', 'The completions that are stored') },
  getChatCompletion: { ...storedChats, ...get('/chat/completions/:id', 'One that is stored') },
  updateChatCompletion: { ...storedChats, ...post('/chat/completions/:id', 'Change what is attached to one') },
  deleteChatCompletion: { ...storedChats, ...remove('/chat/completions/:id', 'Delete one') },
  listChatCompletionMessages: { ...storedChats, ...get('/chat/completions/:id/messages', 'What it answers') },

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

  uploadFile: { ...files, takes: 'form', ...post('/files', 'Upload a file') },
  listFiles: { ...files, ...get('/files', 'The files there are') },
  getFile: { ...files, ...get('/files/:id', 'What is known of a file') },
  deleteFile: { ...files, ...remove('/files/:id', 'Delete a file') },
  downloadFile: { ...files, ...get('/files/:id/content', 'What is in a file') },

  uploadAnthropicFile: { ...anthropicFiles, takes: 'form', ...post('/v1/files', 'Upload a file') },
  listAnthropicFiles: { ...anthropicFiles, ...get('/v1/files', 'The files there are') },
  getAnthropicFile: { ...anthropicFiles, ...get('/v1/files/:id', 'What is known of a file') },
  deleteAnthropicFile: { ...anthropicFiles, ...remove('/v1/files/:id', 'Delete a file') },
  downloadAnthropicFile: { ...anthropicFiles, ...get('/v1/files/:id/content', 'What is in a file') },

  createBatch: { ...batches, ...post('/batches', 'Answer many requests when there is time') },
  listBatches: { ...batches, ...get('/batches', 'The batches there are') },
  getBatch: { ...batches, ...get('/batches/:id', 'How far a batch is') },
  cancelBatch: { ...batches, ...post('/batches/:id/cancel', 'Stop a batch') },

  createFineTuningJob: { ...tuning, ...post('/fine_tuning/jobs', 'Train a model further') },
  listFineTuningJobs: { ...tuning, ...get('/fine_tuning/jobs', 'The jobs there are') },
  getFineTuningJob: { ...tuning, ...get('/fine_tuning/jobs/:id', 'How far a job is') },
  cancelFineTuningJob: { ...tuning, ...post('/fine_tuning/jobs/:id/cancel', 'End a job') },
  pauseFineTuningJob: { ...tuning, ...post('/fine_tuning/jobs/:id/pause', 'Stop a job for a while') },
  resumeFineTuningJob: { ...tuning, ...post('/fine_tuning/jobs/:id/resume', 'Go on with a job') },
  listFineTuningEvents: { ...tuning, ...get('/fine_tuning/jobs/:id/events', 'What a job tells, or follow it') },
  listFineTuningCheckpoints: { ...tuning, ...get('/fine_tuning/jobs/:id/checkpoints', 'The models a job has made') },
  listFineTuningRollouts: { ...tuning, ...get('/fine_tuning/jobs/:id/rollouts', 'Answers that a step was made of') },
  estimateFineTuning: { ...tuning, ...post('/fine_tuning/estimate', 'What a job would take') },
  estimateFineTuningJob: { ...tuning, ...post('/fine_tuning/jobs/estimate', 'The same') },
  runGrader: { ...tuning, ...post('/fine_tuning/alpha/graders/run', 'Try a grader on one answer') },
  validateGrader: { ...tuning, ...post('/fine_tuning/alpha/graders/validate', 'Whether a grader is right') },

  listAnthropicModels: { ...anthropicOnly, tag: 'Models', ...get('/v1/models', 'The models there are') },
  getAnthropicModel: { ...anthropicOnly, tag: 'Models', ...get('/v1/models/:id', 'One model') },

  listModels: { ...models, ...get('/models', 'The models there are') },
  getModel: { ...models, ...get('/models/:id', 'One model') },
  deleteModel: { ...models, ...remove('/models/:id', 'Delete a model that a job has made') },
  listModelFiles: { ...models, ...get('/models/:id/files', 'The files of a model that a job has made') },
  downloadModelFile: { ...models, ...get('/models/:id/files/content', 'What is in one of them') },

  getBalance: { ...deepseek, tag: 'Account', ...get('/user/balance', 'What there is to pay with') },
  getUsage: { ...openai, tag: 'Account', ...get('/user/usage', 'What was used, and what it cost') },

  getHealth: { ...server, ...get('/healthz', 'Whether the server answers') },
  getMetrics: { ...server, ...get('/metrics', 'What is measured, for Prometheus') },
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
