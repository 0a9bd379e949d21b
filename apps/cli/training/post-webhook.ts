// How webhooks that graders name are reached.
//
// Owns that they are of the public internet alone: a caller has named them.

import { SafeFetchError, safeFetch } from '@hadal/server/safe-fetch';
import type { PostWebhook } from '@hadal/training/graders/webhook';

export const postWebhook: PostWebhook = async ({ url, body, timeoutMs, maxBytes }, signal) => {
  try {
    const headers = { 'content-type': 'application/json' };
    const { status, body: answer } = await safeFetch(url, {
      ...{ method: 'POST', headers, body, timeoutMs, maxBytes, ...(signal && { signal }) },
    });
    return { type: 'answer', status, body: answer.toString('utf8') };
  } catch (error) {
    if (!(error instanceof SafeFetchError)) throw error;
    return /no answer within/.test(error.message) ? { type: 'late' } : { type: 'failure', message: error.message };
  }
};
