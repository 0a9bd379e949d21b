// webhook: somebody else's program says how good an answer is.
//
// Owns what it is sent and what it may answer. The way there arrives as a function, which is also what keeps a URL from reaching
// this machine or its network. An answer that is no finite number is a problem, not a reward.

import type { GraderOfType } from '@hadal/protocol/graders';
import { z } from 'zod';
import { failed, type Graded, rewarded } from './graded.ts';
import type { Namespaces } from './sample.ts';

export interface WebhookPost {
  readonly url: string;
  /** JSON. */
  readonly body: string;
  readonly timeoutMs: number;
  readonly maxBytes: number;
}

export type WebhookReply =
  | { readonly type: 'answer'; readonly status: number; readonly body: string }
  | { readonly type: 'late' }
  | { readonly type: 'failure'; readonly message: string };

export type PostWebhook = (post: WebhookPost, signal: AbortSignal | undefined) => Promise<WebhookReply>;

const defaultTimeoutMs = 30_000;
const maxBytes = 64 * 1024;

const answerSchema = z.object({ reward: z.number(), sub_rewards: z.record(z.string(), z.number()).optional() });

export async function gradeWebhook(
  grader: GraderOfType<'webhook'>,
  { item, sample }: Namespaces,
  post: PostWebhook,
  signal: AbortSignal | undefined,
): Promise<Graded> {
  const timeoutMs = grader.timeout_s === undefined ? defaultTimeoutMs : grader.timeout_s * 1000;
  const body = JSON.stringify({ grader: grader.name, item, sample });
  const reply = await post({ url: grader.url, body, timeoutMs, maxBytes }, signal);
  switch (reply.type) {
    case 'late':
      return failed('unresponsive-reward', `${grader.url}: no answer within ${timeoutMs / 1000} seconds`);
    case 'failure':
      return failed('other', reply.message);
    case 'answer':
      return readAnswer(reply, grader.url);
  }
}

function readAnswer({ status, body }: Extract<WebhookReply, { type: 'answer' }>, url: string): Graded {
  if (status < 200 || status > 299) return failed('other', `${url}: expected status 200, got ${status}`);
  const parsed = answerSchema.safeParse(jsonOf(body));
  if (!parsed.success) {
    return failed('other', `${url}: expected {"reward": number}, got ${JSON.stringify(body.slice(0, 200))}`);
  }
  return rewarded(parsed.data.reward, parsed.data.sub_rewards);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
