// Stop strings in a stream of text.
//
// Owns the text that may turn out to be the beginning of a stop string and so cannot be shown yet. Invariant: what comes
// out, put together, is the text up to the first stop string, however it was split.

export interface StopResult {
  readonly text: string;
  /** The stop string that was found; undefined: none yet. */
  readonly stop: string | undefined;
}

export class StopText {
  readonly #stops: readonly string[];
  #held = '';

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== '');
  }

  /** What can be shown after `text` arrived. After a stop the rest is dropped. */
  push(text: string): StopResult {
    if (this.#stops.length === 0) return { text, stop: undefined };
    const pending = this.#held + text;
    const [first] = this.#stops
      .map((stop) => ({ stop, at: pending.indexOf(stop) }))
      .filter(({ at }) => at >= 0)
      .sort((a, b) => a.at - b.at);
    if (first) {
      this.#held = '';
      return { text: pending.slice(0, first.at), stop: first.stop };
    }
    const keep = Math.max(...this.#stops.map((stop) => overlap(pending, stop)));
    this.#held = pending.slice(pending.length - keep);
    return { text: pending.slice(0, pending.length - keep), stop: undefined };
  }

  /** The held text, once nothing more will come. */
  end(): string {
    const text = this.#held;
    this.#held = '';
    return text;
  }
}

/** Length of the longest end of `text` that begins `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
