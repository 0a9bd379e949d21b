// Whether the servers of a model are well.
//
// Owns when they are asked, and what an answer means: some say that they are well in a place of its own, of others the list of
// their models is as good. Knows nothing of requests. A server is unwell after two checks that fail, and well after one that does not.

import type { Clock } from './upstream-pool.ts';

export interface HealthOptions {
  readonly intervalMs: number;
  /** Asks a server; rejects where it is not well. */
  readonly check: (index: number) => Promise<void>;
  /** Told after each check. `problem` only where the state has changed. */
  readonly note: (index: number, isHealthy: boolean, problem: string | undefined) => void;
  readonly clock: Clock;
  /** From 0 to 1: servers are not to be asked all at the same moment by all who use them. */
  readonly random: () => number;
}

/** A busy server may miss one check. */
const failuresAllowed = 1;
const jitter = 0.2;

/** Asks `servers` servers from now on, until it is disposed of. */
export function watchHealth(servers: number, { intervalMs, check, note, clock, random }: HealthOptions): Disposable {
  let isOver = false;
  const cancel = new Map<number, () => void>();
  const failures = new Map<number, number>();

  async function look(index: number): Promise<void> {
    let problem: string | undefined;
    await check(index).catch((error: Error) => {
      problem = error.message;
    });
    if (isOver) return;
    const before = failures.get(index) ?? 0;
    const now = problem === undefined ? 0 : before + 1;
    failures.set(index, now);
    const isHealthy = now <= failuresAllowed;
    const hasChanged = isHealthy !== before <= failuresAllowed;
    note(index, isHealthy, hasChanged ? (problem ?? 'well again') : undefined);
    plan(index);
  }

  function plan(index: number): void {
    const ms = intervalMs * (1 - jitter + 2 * jitter * random());
    cancel.set(
      index,
      clock.after(ms, () => void look(index)),
    );
  }

  for (let index = 0; index < servers; index++) plan(index);
  return {
    [Symbol.dispose]() {
      isOver = true;
      for (const one of cancel.values()) one();
    },
  };
}
