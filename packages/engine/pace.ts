// How much prompt fits beside sequences that are speaking.
//
// Owns an estimate of the time that a token takes, from the steps that have been. It decides how fast things go and never
// what comes out.

/** Tokens that a step reads at least: fewer would make poor use of the weights that every step reads. */
const leastTokens = 32;

/** Weight of the newest step in the estimate. */
const freshness = 0.2;

export class StepPace {
  readonly #stallMs: number;
  readonly #stepTokens: number;
  #msPerToken: number | undefined;

  /** `stallMs`: how long a step with speaking sequences should take at most; `stepTokens`: the largest step of all. */
  constructor(stallMs: number, stepTokens: number) {
    this.#stallMs = stallMs;
    this.#stepTokens = stepTokens;
  }

  /** Tokens of prompts in a step that has `speaking` tokens of others. Never 0, or prompts might wait for ever. */
  promptTokens(speaking: number): number {
    const room = Math.max(leastTokens, this.#stepTokens - speaking);
    if (speaking === 0 || this.#msPerToken === undefined) return room;
    return Math.min(room, Math.max(leastTokens, Math.floor(this.#stallMs / this.#msPerToken)));
  }

  /** A step of a few tokens says little about what one more would cost: it reads the weights for their sake alone. */
  note(tokens: number, ms: number): void {
    if (tokens < leastTokens) return;
    const now = ms / tokens;
    this.#msPerToken = this.#msPerToken === undefined ? now : this.#msPerToken * (1 - freshness) + now * freshness;
  }
}
