// Measurements at an address of their own.
//
// Owns a second, small server, for those who keep what is measured away from where the API is: it answers `GET /metrics` and
// nothing else.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { listenErrorOf, urlOf } from './listen-error.ts';
import type { TextContent } from './text-page.ts';

export interface MetricsListener {
  readonly url: string;
  close(): Promise<void>;
}

/** Rejects with `ListenError` when the address cannot be had. */
export async function listenForMetrics(
  { host, port }: { readonly host: string; readonly port: number },
  page: () => Promise<TextContent>,
): Promise<MetricsListener> {
  const server = createServer(async ({ method, url }, response) => {
    const isAsked = (method === 'GET' || method === 'HEAD') && url?.split('?', 1)[0] === '/metrics';
    const content = isAsked
      ? await page().catch(() => undefined)
      : { contentType: 'text/plain', text: 'GET /metrics\n' };
    const status = isAsked ? (content ? 200 : 500) : 404;
    response.writeHead(status, { 'content-type': content?.contentType ?? 'text/plain' }).end(content?.text ?? '');
  });
  try {
    server.listen({ host, port });
    await once(server, 'listening');
  } catch (error) {
    throw listenErrorOf(error, host, port, 'server.metrics.port');
  }
  return {
    url: `${urlOf(server, host)}/metrics`,
    async close() {
      server.closeAllConnections();
      await server[Symbol.asyncDispose]();
    },
  };
}
