// The upstreams of a configuration, opened.
//
// Owns where their keys come from, the variables that the file names, and whose tokenizer counts what they do not say. A variable that
// is missing is a mistake of the configuration, and all of them are told at once. What an upstream is, is the server's.

import type { TokenCounter } from '@hadal/server/upstream/token-counter';
import type { ConfiguredUpstream } from '@hadal/server/upstream/upstream-configuration';
import {
  openUpstreamProvider,
  type UpstreamProvider,
  type UpstreamProviderOptions,
} from '@hadal/server/upstream/upstream-provider';
import { ownCheckpoint } from './own-checkpoint.ts';

export interface Upstreams extends AsyncDisposable {
  readonly providers: readonly UpstreamProvider[];
  /** Of all of them, in a few words. */
  readonly description: string;
}

/**
 * Our own model has 2048 tokens, and cuts prose, code and JSON in several languages into 1.3 to 3 times as many as o200k_base and
 * cl100k_base do, on average twice as many. Of what is mostly numbers it makes no more than they do.
 */
const ownIsFiner = 2;

/** Throws an Error with a line for every key that is missing, or where a tokenizer is. */
export async function openUpstreams(
  configured: readonly ConfiguredUpstream[],
  options: Omit<UpstreamProviderOptions, 'counter'>,
): Promise<Upstreams> {
  const wanted = configured.flatMap(({ id, servers }) =>
    servers.flatMap(({ keyEnv }) => (keyEnv ? [{ id, keyEnv }] : [])),
  );
  const missing = wanted.filter(({ keyEnv }) => !process.env[keyEnv]);
  if (missing.length > 0) {
    throw new Error(
      missing.map(({ id, keyEnv }) => `upstreams.${id}: expected a key in ${keyEnv}, the variable is empty`).join('\n'),
    );
  }
  const counters = await openCounters(configured);
  const providers = configured.map((upstream) => {
    const servers = upstream.servers.map(({ url, keyEnv, concurrency }) => ({
      ...{ url, concurrency, apiKey: keyEnv === undefined ? undefined : process.env[keyEnv] },
    }));
    const counter = counters.get(upstream.tokenizer) as TokenCounter;
    return openUpstreamProvider({ ...upstream, servers }, { ...options, counter });
  });
  return {
    providers,
    description: configured
      .map(({ id, servers }) => `${id} (${servers.length === 1 ? '1 server' : `${servers.length} servers`})`)
      .join(', '),
    async [Symbol.asyncDispose]() {
      await Promise.all(providers.map((provider) => provider[Symbol.asyncDispose]()));
    },
  };
}

/** One for each tokenizer that is named, which may be wrong and is read at once; and our own where none is. */
async function openCounters(
  configured: readonly ConfiguredUpstream[],
): Promise<ReadonlyMap<string | undefined, TokenCounter>> {
  const counters = new Map<string | undefined, TokenCounter>();
  for (const { id, tokenizer } of configured) {
    if (counters.has(tokenizer)) continue;
    try {
      const isOwn = tokenizer === undefined;
      const counter = isOwn
        ? openedWhenUsed(() => openCounter(ownCheckpoint(), ownIsFiner))
        : openCounter(tokenizer, 1);
      counters.set(tokenizer, await counter);
    } catch (error) {
      throw new Error(`upstreams.${id}.tokenizer: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return counters;
}

/** Imports the formats of models, which what only passes requests on does not need. */
async function openCounter(path: string, finer: number): Promise<TokenCounter> {
  const [{ openCheckpoint }, { openTokenCounter }] = await Promise.all([
    import('@hadal/formats/checkpoint'),
    import('@hadal/server/upstream/token-counter'),
  ]);
  return openTokenCounter(await openCheckpoint(path), finer);
}

/** Most upstreams say what an answer took. */
function openedWhenUsed(open: () => Promise<TokenCounter>): TokenCounter {
  let opened: Promise<TokenCounter> | undefined;
  function counter(): Promise<TokenCounter> {
    opened ??= open();
    return opened;
  }
  return {
    text: async (text) => await (await counter()).text(text),
    chat: async (request) => await (await counter()).chat(request),
  };
}
