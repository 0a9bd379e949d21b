// Why a server could not take its address, in words for the person who started it.

import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The server could not take its address. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** `setting`: where the port is chosen. What has another reason stays what it is. */
export function listenErrorOf(error: unknown, host: string, port: number, setting: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  const cause = { cause: error };
  switch (code) {
    case 'EADDRINUSE': {
      const other = (port % 65535) + 1;
      const example = setting === 'PORT' ? `, for example PORT=${other}` : '';
      return new ListenError(
        `port ${port} on ${host} is already in use; choose another with ${setting}${example}`,
        cause,
      );
    }
    case 'EACCES':
      return new ListenError(`port ${port} on ${host} needs more rights; choose one above 1023 with ${setting}`, cause);
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new ListenError(`host ${host} is no address of this machine`, cause);
    case 'ERR_SOCKET_BAD_PORT':
      return new ListenError(`${setting}: expected 0 to 65535, got ${port}`, cause);
    default:
      return error;
  }
}

/** Where a client finds a server that listens on `host`. */
export function urlOf(server: Server, host: string): string {
  const { port } = server.address() as AddressInfo;
  // Everyone's address is not one that a client can call.
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}
