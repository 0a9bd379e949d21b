// From one status of a job to the next.
//
// Owns what goes with a change of status: when it was, the event that tells of it, and who else is to be told once a job is over.
// Knows neither who changes it nor how it is kept.

import {
  isFinal,
  type Job,
  type JobDetails,
  type JobStatus,
  type JobWebhook,
  wireWebhook,
} from '@hadal/protocol/fine-tuning';
import type { JobChange, NewEvent } from '@hadal/store/jobs';

/** Somebody who is told of jobs that are over. */
export interface WebhookPlace {
  readonly url: string;
  /** As standard webhooks have it: `whsec_` and base64, or any text. */
  readonly secret: string;
  /** undefined: of all. */
  readonly events: readonly JobWebhook[] | undefined;
  /** Whether the URL may lead into a private network, or to this machine. */
  readonly isPrivate: boolean;
}

export interface JobChangesOptions {
  /** As they are at the moment. */
  readonly webhooks: () => readonly WebhookPlace[];
  readonly now: () => number;
  readonly newId: () => string;
}

export class JobChanges {
  readonly #options: JobChangesOptions;

  constructor(options: JobChangesOptions) {
    this.#options = options;
  }

  event(message: string, level: NewEvent['level'] = 'info'): NewEvent {
    const id = this.newId();
    const createdMs = this.#options.now();
    return { id: `ftevent-${id}`, key: id, createdMs, level, message, type: 'message', data: null };
  }

  /** In `status` from now on, told in `messages`. */
  enter(
    job: Job,
    status: JobStatus,
    messages: readonly (string | NewEvent)[],
    more: Partial<JobDetails> = {},
  ): JobChange {
    const nowMs = this.#options.now();
    const details = { ...job.details, ...more, since: { ...job.details.since, [status]: nowMs } };
    const events = messages.map((message) => (typeof message === 'string' ? this.event(message) : message));
    return { status, details, events, deliveries: isFinal(status) ? this.#deliveries(job.id, status, nowMs) : [] };
  }

  newId(): string {
    return this.#options.newId().replaceAll('-', '');
  }

  #deliveries(jobId: string, status: JobStatus, nowMs: number) {
    const type = `fine_tuning.job.${status}` as JobWebhook;
    return this.#options
      .webhooks()
      .filter(({ events }) => events?.includes(type) ?? true)
      .map(({ url }) => {
        const id = this.newId();
        const body = JSON.stringify(wireWebhook(`evt_${id}`, type, jobId, nowMs));
        return { id: `wh_${id}`, createdMs: nowMs, url, body };
      });
  }
}
