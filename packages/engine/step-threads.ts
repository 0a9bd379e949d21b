// Whether a small step runs on all threads or on one.
//
// Owns the times of both, for steps of a size, and the choice of the faster. On a small model threads wait for one another, and
// for whoever else wants their core, longer than they help. It decides how fast a step is and never what comes out.

/** Times that are looked at: the one in the middle counts. */
const remembered = 9;

/** Times of each kind before there is a choice. */
const enough = 5;

/** A step that takes longer on all threads has enough for them to do. */
const smallMs = 3;

/** Steps after which the other kind is tried again. */
const patience = 64;

interface Times {
  readonly all: number[];
  readonly alone: number[];
  steps: number;
}

export class StepThreads {
  readonly #bySize = new Map<number, Times>();

  /** Whether a step that reads `rows` tokens, none of a prompt, should keep to one thread. */
  isAlone(rows: number): boolean {
    const times = this.#times(rows);
    if (times.all.length < enough || median(times.all) > smallMs) return false;
    if (times.alone.length < enough) return true;
    const isFaster = median(times.alone) < median(times.all);
    times.steps = (times.steps + 1) % patience;
    return times.steps === 0 ? !isFaster : isFaster;
  }

  note(rows: number, isAlone: boolean, ms: number): void {
    const times = this.#times(rows)[isAlone ? 'alone' : 'all'];
    times.push(ms);
    if (times.length > remembered) times.shift();
  }

  /** Of steps with about as many rows. */
  #times(rows: number): Times {
    const size = Math.floor(Math.log2(rows));
    const times = this.#bySize.get(size) ?? { all: [], alone: [], steps: 0 };
    this.#bySize.set(size, times);
    return times;
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}
