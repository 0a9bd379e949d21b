// The two servers that the clients talk to.
//
// Owns their beginning and their end. One is the program as a person starts it, with hadal-nano; the other is the same server with
// a scripted model, for what hadal-nano is too small to follow.

import { serveToy } from '@hadal/server/testing/serve-toy';
import { startHadal } from '../hadal.ts';
import type { Addresses } from './clients.ts';
import { scriptedAnswer } from './scripted-model.ts';

/** Coding clients begin with tens of thousands of tokens, and the scripted model counts a token for each byte. */
const contextLength = 2 ** 20;

export async function startServers(): Promise<Addresses & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const nano = stack.use(startHadal(['serve', '--port', '0']));
  const scripted = stack.use(await serveToy({ contextLength, names: true, script: scriptedAnswer }));
  const [, answering = ''] = await nano.untilOutput(/ready at (http:\S+)/);
  const running = stack.move();
  return {
    answering,
    acting: scripted.server.url,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
