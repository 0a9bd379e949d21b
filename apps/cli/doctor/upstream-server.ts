// What a server of an upstream looks like to the Hadal that would send it requests.
//
// Owns how it is asked: for its list of models, and where its flavour has one for its health, with its key and little patience.
// Judges nothing; whatever goes wrong here is something that was seen. No prompt is sent and no token is paid for.

import type { ConfiguredUpstream } from '@hadal/server/upstream/upstream-configuration';
import { UpstreamConnection } from '@hadal/server/upstream/upstream-connection';
import { UpstreamFailure } from '@hadal/server/upstream/upstream-failure';
import { type Flavour, flavourTraits, traitsIn } from '@hadal/server/upstream/upstream-flavour';

export interface UpstreamServerSeen {
  readonly url: string;
  /** The variable that names its key; undefined: it needs none. */
  readonly keyEnv: string | undefined;
  readonly answer: UpstreamAnswer;
}

export type UpstreamAnswer =
  /** The variable is empty, so that nothing was asked. */
  | { readonly type: 'keyless' }
  | { readonly type: 'silent'; readonly reason: string }
  | { readonly type: 'refused'; readonly status: number; readonly place: 'models' | 'health' }
  /** It answers, and has no list of models. */
  | { readonly type: 'unlisted'; readonly ms: number }
  | { readonly type: 'listed'; readonly ms: number; readonly models: readonly string[]; readonly flavour: Flavour };

/** `env`: where its key is. */
export async function seeUpstreamServer(
  { model, flavour }: Pick<ConfiguredUpstream, 'model' | 'flavour'>,
  { url, keyEnv }: ConfiguredUpstream['servers'][number],
  env: Readonly<Record<string, string | undefined>>,
  timeoutMs = 3_000,
): Promise<UpstreamServerSeen> {
  const apiKey = keyEnv === undefined ? undefined : env[keyEnv];
  if (keyEnv !== undefined && !apiKey) return { url, keyEnv, answer: { type: 'keyless' } };
  const connection = new UpstreamConnection(
    { url, apiKey },
    { connectMs: timeoutMs, firstTokenMs: timeoutMs, betweenTokensMs: timeoutMs, totalMs: timeoutMs },
  );
  try {
    return { url, keyEnv, answer: await ask(connection, model, flavour, timeoutMs) };
  } finally {
    connection.close();
  }
}

async function ask(
  connection: UpstreamConnection,
  model: string,
  said: Flavour | undefined,
  timeoutMs: number,
): Promise<UpstreamAnswer> {
  const never = new AbortController().signal;
  const begunMs = performance.now();
  const list = await connection.call({ path: 'models', from: 'base' }, timeoutMs, never).catch(failureOf);
  const ms = performance.now() - begunMs;
  if (list instanceof UpstreamFailure && !list.isServerWithout) return answerOf(list, 'models');
  const shown = traitsIn(list instanceof UpstreamFailure ? undefined : list, model).flavour;
  const flavour = said ?? shown;
  if (flavourTraits[flavour].health === 'root') {
    const health = await connection.call({ path: 'health', from: 'root' }, timeoutMs, never).catch(failureOf);
    if (health instanceof UpstreamFailure) return answerOf(health, 'health');
  }
  const { data } = (list ?? {}) as { readonly data?: unknown };
  if (!Array.isArray(data)) return { type: 'unlisted', ms };
  return { type: 'listed', ms, models: data.map((card) => String(card?.id)), flavour };
}

/** Throws what is none. */
function failureOf(error: unknown): UpstreamFailure {
  if (error instanceof UpstreamFailure) return error;
  throw error;
}

function answerOf({ status, message }: UpstreamFailure, place: 'models' | 'health'): UpstreamAnswer {
  return status === undefined ? { type: 'silent', reason: message } : { type: 'refused', status, place };
}
