// Work on many things, some at a time.
//
// Owns how much is under way at once: neither all, which a server elsewhere would refuse, nor one, for which a machine is too wide. Knows
// nothing of the work.

/** Answers of a teacher that are waited for at a time. */
export const askedAtOnce = 32;

/** Works on `items` in their order, at most `most` at a time. Where one fails no other is begun, and those under way are waited for. */
export async function inFlight<T>(
  items: readonly T[],
  most: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const waiting = items.entries();
  const failures: unknown[] = [];
  const worker = async () => {
    while (failures.length === 0) {
      const next = waiting.next();
      if (next.done) return;
      const [index, item] = next.value;
      await work(item, index).catch((error) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, worker));
  if (failures.length > 0) throw failures[0];
}
