// Readers that have stopped reading.
//
// Owns how long an answer waits for a reader that takes nothing of what there is for it, while it holds a place in the engine and
// memory here. Knows nothing of answers. One who reads slowly, and one for whom there is nothing to read yet, are left alone.

import type { ServerResponse } from 'node:http';

/** Cuts the connection after `timeoutMs` in which nothing of what is to be sent could be; calls `onStall` before. */
export function endWhenStalled(response: ServerResponse, timeoutMs: number, onStall: () => void): void {
  // The socket's own clock: it begins anew whenever a part of what waits has gone, however small.
  response.setTimeout(timeoutMs, () => {
    if (response.writableLength > 0 || (response.socket?.writableLength ?? 0) > 0) {
      onStall();
      response.destroy();
    } else {
      response.setTimeout(timeoutMs);
    }
  });
}
