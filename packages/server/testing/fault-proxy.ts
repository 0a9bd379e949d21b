// A wire that fails between a client and a server, for tests.
//
// Owns one listening socket that passes everything on to a port, and does to what comes back what a test wants, connection by
// connection. Knows no HTTP: bytes are counted from the first that the server sends. Never used outside tests.

import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** What happens to the bytes from the server. `at`: before which of them, counted from 0. */
export type Fault =
  | { readonly type: 'none' }
  /** The connection ends in order. */
  | { readonly type: 'cut'; readonly at: number }
  | { readonly type: 'reset'; readonly at: number }
  /** Nothing more comes, and nothing ends. */
  | { readonly type: 'stall'; readonly at: number }
  /** One byte has its highest bit turned over. */
  | { readonly type: 'garble'; readonly at: number }
  /** All of it comes late. */
  | { readonly type: 'delay'; readonly ms: number }
  /** It comes in pieces of a few bytes. */
  | { readonly type: 'drip'; readonly bytes: number };

export interface FaultProxy extends AsyncDisposable {
  /** With `/v1`. */
  readonly url: string;
  /** What has gone through to clients, connection by connection. */
  readonly delivered: Buffer[];
}

/** `faults`: of each connection, in the order in which they come; those after them have none. */
export async function startFaultProxy(port: number, faults: readonly Fault[]): Promise<FaultProxy> {
  const delivered: Buffer[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((client) => {
    const number = connections++;
    delivered[number] = Buffer.alloc(0);
    const behind = connect({ port, host: '127.0.0.1' });
    for (const socket of [client, behind]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.once('close', () => sockets.delete(socket));
    }
    client.pipe(behind);
    client.once('close', () => behind.destroy());
    const deliver = (bytes: Buffer) => {
      if (bytes.length === 0) return;
      delivered[number] = Buffer.concat([delivered[number] as Buffer, bytes]);
      client.write(bytes);
    };
    void pass(behind, client, faults[number] ?? { type: 'none' }, deliver).catch(() => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    ...{ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, delivered },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function pass(from: Socket, to: Socket, fault: Fault, deliver: (bytes: Buffer) => void): Promise<void> {
  let passed = 0;
  for await (const piece of from as AsyncIterable<Buffer>) {
    const at = 'at' in fault ? fault.at - passed : Number.POSITIVE_INFINITY;
    passed += piece.length;
    const isHere = at < piece.length;
    switch (fault.type) {
      case 'none':
        deliver(piece);
        break;
      case 'cut':
      case 'reset':
      case 'stall':
        deliver(piece.subarray(0, Math.max(0, at)));
        if (!isHere) break;
        if (fault.type === 'cut') to.end();
        // A reset takes with it what the other side has not read: let it.
        if (fault.type === 'reset') setTimeout(() => to.resetAndDestroy(), 5);
        if (fault.type === 'stall') await new Promise((resolve) => to.once('close', resolve));
        return;
      case 'garble': {
        const bytes = Buffer.from(piece);
        if (isHere && at >= 0) bytes[at] = (bytes[at] as number) ^ 0x80;
        deliver(bytes);
        break;
      }
      case 'delay':
        await delay(fault.ms);
        deliver(piece);
        break;
      case 'drip':
        for (let i = 0; i < piece.length; i += fault.bytes) {
          deliver(piece.subarray(i, i + fault.bytes));
          await delay(0);
        }
        break;
      default:
        fault satisfies never;
    }
  }
  to.end();
}
