// The training process's end of the channel to its server.
//
// Owns the numbering of questions and who waits for which reply. Without a server every question fails with words: a job on its own
// knows no models but those that lie on disk.

import process from 'node:process';
import type { ChannelQuestion, ChannelReply, ToServer, ToTrainer } from '@hadal/protocol/job-channel';

export type AskServer = (question: ChannelQuestion) => Promise<ChannelReply>;

export function openServerChannel(): AskServer {
  const waiting = new Map<number, (reply: ChannelReply) => void>();
  let nextId = 0;
  // Stays when the channel ends, be it before anybody has listened.
  const hadServer = process.send !== undefined;
  process.on('message', (message: ToTrainer) => {
    if (message?.type !== 'reply') return;
    waiting.get(message.id)?.(message.reply);
    waiting.delete(message.id);
  });
  process.once('disconnect', () => {
    for (const reply of waiting.values()) reply({ type: 'gone' });
    waiting.clear();
  });
  return async (question) => {
    if (!process.connected && hadServer) return { type: 'gone' };
    if (!process.connected) {
      return { type: 'failure', message: `${question.model}: expected a server that knows this model, there is none` };
    }
    const id = nextId++;
    const { promise, resolve } = Promise.withResolvers<ChannelReply>();
    waiting.set(id, resolve);
    // Where the server was killed this moment, what waits is told when the channel ends; unheard, the failure would end the process.
    process.send?.({ type: 'ask', id, question } satisfies ToServer, undefined, undefined, () => {});
    return await promise;
  };
}
