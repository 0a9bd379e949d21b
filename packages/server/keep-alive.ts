// Something to send while there is nothing to say.
//
// Owns the timing of fillers in a stream that may fall silent: DeepSeek sends blank lines before a whole answer and
// comments in an event stream. Knows nothing about what the pieces mean. Pulls no piece before it is asked for one, so
// a slow reader slows the source.

/** The pieces of `source`, and `filler` whenever none has come for `intervalMs`. */
export async function* withKeepAlive(
  source: AsyncGenerator<string, void, void>,
  intervalMs: number,
  filler: string,
): AsyncGenerator<string, void, void> {
  try {
    for (;;) {
      const next = source.next();
      // Nobody awaits `next` when the reader leaves during a pause.
      next.catch(() => {});
      let result = await withinTime(next, intervalMs);
      while (result === undefined) {
        yield filler;
        result = await withinTime(next, intervalMs);
      }
      if (result.done === true) return;
      yield result.value;
    }
  } finally {
    await source.return();
  }
}

/** What `promise` gives within `timeoutMs`, else undefined. */
async function withinTime<T>(promise: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, timeoutMs, undefined);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
