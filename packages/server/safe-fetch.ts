// Fetching what a caller named by its URL.
//
// Owns that such a URL cannot be used to reach what only this machine or its network can: every address that a name has is checked
// before anything is sent, the connection goes to the very address that was checked, and all of it again at each redirect. Knows
// nothing of what is fetched; how much, how long and how often redirected is bounded.

import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';

export interface SafeFetchOptions {
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly maxBytes: number;
  /** For all of it, redirects included. */
  readonly timeoutMs: number;
  /** Default 5. POST is never redirected. */
  readonly maxRedirects?: number;
  readonly signal?: AbortSignal;
  /** All addresses of a name. Default: the system's. */
  readonly resolve?: (hostname: string) => Promise<readonly LookupAddress[]>;
  /** Whether an address may be connected to. Default: `isPublicAddress`. */
  readonly isAllowed?: (address: string) => boolean;
}

export interface SafeResponse {
  /** Where the content was found in the end. */
  readonly url: string;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Why something was not fetched. The message may be shown to whoever named the URL: it says nothing of what an address answers. */
export class SafeFetchError extends Error {
  override readonly name = 'SafeFetchError';
}

const redirects: readonly number[] = [301, 302, 303, 307, 308];

/** Rejects with `SafeFetchError`, or with the reason of `signal`. A status is no failure. */
export async function safeFetch(url: string, options: SafeFetchOptions): Promise<SafeResponse> {
  const { timeoutMs, maxRedirects = 5, method = 'GET' } = options;
  const late = AbortSignal.timeout(timeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, late]) : late;
  let at = parsedUrl(url, undefined);
  try {
    for (let count = 0; ; count++) {
      const response = await untilAborted(fetchOnce(at, options, signal), signal);
      if (!('location' in response)) return { url: at.href, ...response };
      if (method !== 'GET') throw new SafeFetchError(`${at.origin}: redirects ${method}, which is not followed`);
      if (count === maxRedirects) throw new SafeFetchError(`${at.origin}: more than ${maxRedirects} redirects`);
      at = parsedUrl(response.location, at);
    }
  } catch (error) {
    if (error instanceof SafeFetchError) throw error;
    if (late.aborted) throw new SafeFetchError(`${at.origin}: no answer within ${timeoutMs / 1000} seconds`);
    if (signal.aborted) throw signal.reason;
    const { code = 'failed' } = error as NodeJS.ErrnoException;
    throw new SafeFetchError(`${at.origin}: cannot be fetched (${code})`, { cause: error });
  }
}

/**
 * Whether an address is one of the public internet: not of this machine, a private network, a link, a carrier's network, a group of
 * machines, a documentation or any other reserved range; nor an IPv6 address in which there is an IPv4 address that is not public.
 */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  const range = parsed.range();
  if (range === 'unicast') return true;
  if (parsed.kind() !== 'ipv6') return false;
  const bytes = parsed.toByteArray();
  switch (range) {
    // NAT64 (RFC 6052) leads to the address in the last four bytes, 6to4 (RFC 3056) to the one after the first two.
    case 'rfc6052':
      return isPublicAddress(bytes.slice(12).join('.'));
    case '6to4':
      return isPublicAddress(bytes.slice(2, 6).join('.'));
    default:
      return false;
  }
}

/** WHATWG's parser has turned decimal, octal and hexadecimal forms of an address into the usual one. */
function parsedUrl(text: string, base: URL | undefined): URL {
  const url = URL.parse(text, base?.href);
  if (url === null) throw new SafeFetchError('the URL cannot be understood');
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new SafeFetchError(`expected a URL of http or https, got ${url.protocol.slice(0, -1)}`);
  }
  if (base?.protocol === 'https:' && url.protocol === 'http:') {
    throw new SafeFetchError(`${base.origin}: redirects to http, which is not followed`);
  }
  if (url.username !== '' || url.password !== '') throw new SafeFetchError('expected a URL without a user name');
  return url;
}

type Once = Omit<SafeResponse, 'url'> | { readonly location: string };

async function fetchOnce(url: URL, options: SafeFetchOptions, signal: AbortSignal): Promise<Once> {
  const { method = 'GET', headers = {}, body, maxBytes } = options;
  const address = await checkedAddress(url, options);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const send = url.protocol === 'https:' ? requestHttps : requestHttp;
  const sent = send(
    url,
    {
      // Compressed content could be far larger than it looks.
      ...{ method, signal, headers: { 'accept-encoding': 'identity', ...headers } },
      // No connection of somebody else's, which may go elsewhere.
      agent: false,
      lookup: pinned(address),
    },
    resolve,
  );
  sent.once('error', reject).end(body);
  const response = await promise;
  try {
    const { statusCode: status = 0, headers: received } = response;
    if (redirects.includes(status) && received.location !== undefined) return { location: received.location };
    return { status, headers: received, body: await bodyOf(response, url, maxBytes) };
  } finally {
    sent.destroy();
  }
}

/** The first address of the name, where all that it has are allowed: which of them is taken must not decide. */
async function checkedAddress({ hostname, origin }: URL, options: SafeFetchOptions): Promise<LookupAddress> {
  const { isAllowed = isPublicAddress, resolve = resolveName } = options;
  const literal = hostname.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(literal);
  const found = family === 0 ? await resolve(hostname) : [{ address: literal, family }];
  const [first] = found;
  if (first === undefined) throw new SafeFetchError(`${origin}: has no address`);
  if (!found.every(({ address }) => isAllowed(address))) {
    throw new SafeFetchError(`${origin}: is not on the public internet`);
  }
  return first;
}

async function resolveName(hostname: string): Promise<readonly LookupAddress[]> {
  return await lookup(hostname, { all: true });
}

/** Node asks for the address of a name once more when it connects; this is the answer. */
function pinned({ address, family }: LookupAddress): LookupFunction {
  return (_hostname, { all }, done) => {
    if (all) done(null, [{ address, family }]);
    else done(null, address, family);
  };
}

async function bodyOf(response: IncomingMessage, { origin }: URL, maxBytes: number): Promise<Buffer> {
  const tooLarge = () => new SafeFetchError(`${origin}: larger than ${maxBytes} bytes`);
  if (Number(response.headers['content-length'] ?? 0) > maxBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** A name that is looked up knows nothing of signals. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  promise.catch(() => {});
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
