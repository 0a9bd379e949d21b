// Graders ask for a score alone.
//
// Owns how their questions become those that the server knows.

import type { ChannelQuestion, ChannelReply } from '@hadal/protocol/job-channel';
import type { AskModel } from '@hadal/training/graders/score-model';
import { JobStopped } from '@hadal/training/jobs/job-failure';

type Ask = (question: ChannelQuestion, signal: AbortSignal | undefined) => Promise<ChannelReply>;

export function graderAsk(ask: Ask): AskModel {
  return async ({ schema, ...question }, signal) => {
    const reply = await ask({ ...question, schema: schema as never, thinking: undefined }, signal);
    if (reply.type !== 'gone') return reply;
    // A caller who tries a grader and leaves says so.
    signal?.throwIfAborted();
    throw new JobStopped();
  };
}
