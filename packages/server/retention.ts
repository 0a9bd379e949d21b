// How long what callers leave behind is kept.
//
// Owns the sweep, once at the start and then every hour: what has expired, and what is older than the settings allow. Nothing is
// swept for which nothing is set.

import type { Store } from '@hadal/store/store';
import type { Logger } from './logger.ts';

/** In days; undefined: for ever. */
export interface Retention {
  readonly usage: number | undefined;
  readonly completions: number | undefined;
  readonly responses: number | undefined;
  readonly audit: number | undefined;
}

export const noRetention: Retention = {
  ...{ usage: undefined, completions: undefined, responses: undefined, audit: undefined },
};

const dayMs = 86_400_000;
const sweepMs = 3_600_000;

/** Sweeps until it is disposed. */
export function keepSwept(
  store: Pick<Store, 'files' | 'ledger' | 'completions' | 'responses'>,
  retention: () => Retention,
  now: () => number,
  logger: Logger,
): Disposable {
  const run = () =>
    void sweep(store, retention(), now()).catch((error) => logger.error({ err: error }, 'sweep failed'));
  run();
  const timer = setInterval(run, sweepMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

export async function sweep(
  { files, ledger, completions, responses }: Pick<Store, 'files' | 'ledger' | 'completions' | 'responses'>,
  retention: Retention,
  nowMs: number,
): Promise<void> {
  await files.sweep();
  const before = (days: number) => nowMs - days * dayMs;
  if (retention.usage !== undefined) await ledger.forget(before(retention.usage));
  if (retention.audit !== undefined) await ledger.forgetAudit(before(retention.audit));
  if (retention.completions !== undefined) await completions.forget(before(retention.completions));
  if (retention.responses !== undefined) await responses.forget(before(retention.responses));
}
