// The upstreams of a configuration, opened.
//
// Owns where their keys come from: the variables that the file names. A variable that is missing is a mistake of the configuration,
// and all of them are told at once. What an upstream is, is the server's.

import type { ConfiguredUpstream } from '@hadal/server/upstream/upstream-configuration';
import {
  openUpstreamProvider,
  type UpstreamProvider,
  type UpstreamProviderOptions,
} from '@hadal/server/upstream/upstream-provider';

export interface Upstreams extends AsyncDisposable {
  readonly providers: readonly UpstreamProvider[];
  /** Of all of them, in a few words. */
  readonly description: string;
}

/** Throws an Error with a line for every key that is missing. */
export function openUpstreams(configured: readonly ConfiguredUpstream[], options: UpstreamProviderOptions): Upstreams {
  const wanted = configured.flatMap(({ id, servers }) =>
    servers.flatMap(({ keyEnv }) => (keyEnv ? [{ id, keyEnv }] : [])),
  );
  const missing = wanted.filter(({ keyEnv }) => !process.env[keyEnv]);
  if (missing.length > 0) {
    throw new Error(
      missing.map(({ id, keyEnv }) => `upstreams.${id}: expected a key in ${keyEnv}, the variable is empty`).join('\n'),
    );
  }
  const providers = configured.map((upstream) => {
    const servers = upstream.servers.map(({ url, keyEnv, concurrency }) => ({
      ...{ url, concurrency, apiKey: keyEnv === undefined ? undefined : process.env[keyEnv] },
    }));
    return openUpstreamProvider({ ...upstream, servers }, options);
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
