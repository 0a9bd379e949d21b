// One request on its way through the engine.
//
// Owns a request's tokens, how far they have been read, what it may be told of them yet (whole characters, no stop strings)
// and how it ends. Knows nothing of the other sequences or of the model. Invariant: the events it emits are a function of the
// tokens chosen for it, in order: none after `finish`.

import type { StreamDecoder, Tokenizer } from '@hadal/formats/tokenizer';
import type { Matcher } from './constraints/matcher.ts';
import type { FinishReason, GenerateRequest, TokenEvent } from './engine.ts';
import type { Choice, ChoiceRow, TokenLogprob, TopTokens } from './sampler.ts';
import type { SequencePages } from './sequence-pages.ts';
import { type HeldAdapter, prefixNamespace } from './served-adapters.ts';
import { DraftDepth, maxDraftTokens } from './speculation.ts';
import { StopText } from './stop-text.ts';
import { uniformAt } from './uniform.ts';
import type { Waiter } from './waiting-line.ts';

/** Receives the events of one request, in order. */
export type Listener = (event: RequestEvent) => void;

export type RequestEvent = TokenEvent | { readonly type: 'error'; readonly message: string };

export interface SequenceOptions {
  readonly seed: number;
  readonly arrivedMs: number;
  readonly emit: Listener;
  readonly tokenizer: Tokenizer;
  /** At the beginning of the constraint; undefined: there is none. */
  readonly matcher: Matcher | undefined;
  /** undefined: the base answers. */
  readonly adapter?: HeldAdapter | undefined;
  /** How guesses of the same kind have fared so far; undefined: nothing is known. */
  readonly guesses?: DraftDepth | undefined;
}

/** Tokens that a sequence may read in a step without being one that holds up others. */
const smallRead = 64;

export class Sequence implements Waiter {
  readonly key: number;
  readonly request: GenerateRequest;
  readonly seed: number;
  readonly arrivedMs: number;
  readonly adapter: HeldAdapter | undefined;
  /** Prompt and completion. */
  readonly tokens: number[];
  /** Where its rows are; undefined while it waits. */
  pages: SequencePages | undefined;
  /** Guesses of what follows `tokens`, to be verified in the next step. */
  draft: readonly number[] = [];
  /** The prompt's first token whose log-probabilities are still to be told; its length where there is none. */
  untold: number;
  isOver = false;
  /** Whether nobody guesses ahead for it any more, because it would not pay. */
  isPlain = false;
  readonly #emit: Listener;
  readonly #decoder: StreamDecoder;
  readonly #stop: StopText;
  /** What may come next; undefined: anything. */
  readonly #matcher: Matcher | undefined;
  readonly #counts = new Map<number, number>();
  readonly #depth: DraftDepth;
  /** The last token's event while its text, or part of it, is held back. */
  #held: Extract<TokenEvent, { type: 'token' }> | undefined;
  /** Whether the reasoning that the completion begins with is over, where there is a limit to it. */
  #isReasoning: boolean;
  /** Tokens of the completion when its reasoning was over, where the answer has a limit of its own. */
  #answerBegin: number | undefined;
  /** How far it has come before, should it have to start again; and of that, what it did not read itself. */
  #reached = 0;
  #cacheHit = 0;
  #queuedMs: number | undefined;
  #accepted = 0;
  #rejected = 0;

  constructor(
    key: number,
    request: GenerateRequest,
    { seed, arrivedMs, emit, tokenizer, matcher, adapter, guesses }: SequenceOptions,
  ) {
    this.#depth = new DraftDepth(guesses);
    this.key = key;
    this.request = request;
    this.seed = seed;
    this.arrivedMs = arrivedMs;
    this.adapter = adapter;
    this.tokens = [...request.prompt];
    const isPromptScored = request.promptLogprobs !== 'none' || request.topPromptLogprobs !== undefined;
    this.untold = isPromptScored ? Math.min(request.promptLogprobsFrom, request.prompt.length) : request.prompt.length;
    this.#isReasoning = request.reasoningLimit !== undefined;
    this.#emit = emit;
    this.#matcher = matcher;
    this.#decoder = tokenizer.decoder();
    this.#stop = new StopText(request.stop);
  }

  get namespace(): string {
    return this.request.namespace;
  }

  /** Whose prefixes it shares. */
  get prefixNamespace(): string {
    return prefixNamespace(this.namespace, this.adapter);
  }

  get priority(): GenerateRequest['priority'] {
    return this.request.priority;
  }

  /** Tokens chosen so far. */
  get completion(): number {
    return this.tokens.length - this.request.prompt.length;
  }

  /** Tokens that have to be read before the next one can be chosen; at least 1. */
  get unread(): number {
    return this.tokens.length - (this.pages?.length ?? 0);
  }

  /** Whether nothing but the token just chosen is unread, and what came with it without a choice. */
  get isDecoding(): boolean {
    return this.completion > 0 && this.unread <= smallRead;
  }

  /** Whether anything has been done for it, even if it must wait again. */
  get hasBegun(): boolean {
    return this.pages !== undefined || this.#reached > 0;
  }

  /** Notes when something is first done for it. */
  noteBegin(nowMs: number): void {
    this.#queuedMs ??= nowMs - this.arrivedMs;
  }

  /** Takes over what others have read of it, into `pages`, which become its own. */
  adopt(pages: SequencePages): void {
    pages.adopt(this.tokens, this.adoptable);
    this.pages = pages;
    // Of the completion there may be tokens already: no part of the prompt.
    this.#cacheHit += Math.max(0, Math.min(pages.length, this.request.prompt.length) - this.#reached);
    this.noteRead();
  }

  /** Tokens that it need not read itself: all but the last, after which the next one is chosen. */
  get adoptable(): number {
    // Log-probabilities of the prompt need its hidden states, which are not kept: a token's, that of the one before it.
    return this.isPromptTold ? this.tokens.length - 1 : this.untold - 1;
  }

  get isPromptTold(): boolean {
    return this.untold === this.request.prompt.length;
  }

  /** Notes how far it has been read. */
  noteRead(): void {
    this.#reached = Math.max(this.#reached, this.pages?.length ?? 0);
  }

  /** How often the completion holds each token. */
  get counts(): ReadonlyMap<number, number> {
    return this.#counts;
  }

  /** The token that must come after the first `guesses` of the draft; undefined where the model may choose. */
  forcedAfter(guesses: number): number | undefined {
    const limit = this.request.reasoningLimit;
    if (!limit || !this.#isReasoning || this.completion + guesses < limit.maxTokens) return undefined;
    return this.draft.slice(0, guesses).includes(limit.endToken) ? undefined : limit.endToken;
  }

  /** The tokens that may come after the first `guesses` of the draft; undefined: all, or the draft was wrong before. */
  allowedAfter(guesses: number): Uint32Array | undefined {
    const matcher = this.#matcher;
    if (!matcher) return undefined;
    let right = 0;
    while (right < guesses && matcher.accept(this.draft[right] as number)) right++;
    const isWrong = right < guesses || matcher.isOver;
    const mask = isWrong ? undefined : new Uint32Array(matcher.maskLength);
    if (mask) matcher.mask(mask);
    matcher.rollback(right);
    return mask;
  }

  /**
   * Takes the tokens that must come next whatever the model would say, for as long as there are any. The same tokens come
   * of choosing among what is allowed; this is faster.
   */
  jump(): void {
    // Log-probabilities have to be computed, and the prompt's come first.
    if (!this.#matcher || this.request.topLogprobs !== undefined || !this.isPromptTold) return;
    while (!this.isOver) {
      const forced = this.#matcher.forced();
      if (forced.length === 0) return;
      for (const id of forced) {
        if (!this.isOver) this.accept({ id, logprob: Number.NaN, top: [] });
      }
    }
  }

  /** Takes the next token of the completion, and ends where that is the last. */
  accept(choice: Choice): void {
    const { request } = this;
    if (this.#matcher?.accept(choice.id) === false) {
      throw new Error(`token ${choice.id} was chosen, and the constraint does not allow it`);
    }
    this.tokens.push(choice.id);
    this.#counts.set(choice.id, (this.#counts.get(choice.id) ?? 0) + 1);
    if (choice.id === request.reasoningLimit?.endToken) this.#isReasoning = false;
    if (choice.id === request.answerLimit?.endToken) this.#answerBegin ??= this.completion;
    if (request.stopTokens.includes(choice.id)) {
      const { id, logprob } = choice;
      this.#finish('stop', request.topLogprobs === undefined ? {} : { stopToken: { id, logprob } });
      return;
    }
    const { text, stop } = this.#stop.push(this.#decoder.push(choice.id));
    this.#release();
    // Not computed for every token, so that nobody may rely on it who did not ask.
    const logprob = request.topLogprobs === undefined ? Number.NaN : choice.logprob;
    this.#held = { type: 'token', ...choice, logprob, text };
    if (stop !== undefined) {
      this.#release();
      this.end('stop', stop);
    } else if (this.completion === request.maxTokens || this.#answerIsFull) {
      this.end('length');
    } else if (text !== '') {
      this.#release();
    }
  }

  /** Takes guesses, as far as they may come next. */
  propose(draft: readonly number[]): void {
    let right = 0;
    while (right < draft.length && this.#matcher?.accept(draft[right] as number) !== false) right++;
    this.#matcher?.rollback(right);
    this.draft = right < draft.length ? draft.slice(0, right) : draft;
  }

  /** Notes how many guesses of a step came true. */
  noteDraft(accepted: number, rejected: number): void {
    this.#accepted += accepted;
    this.#rejected += rejected;
    this.#depth.note(accepted, rejected);
  }

  /** Guesses worth making before the next step, when one costs `cost` of a step. */
  draftTokens(cost: number): number {
    const { speculation, maxTokens } = this.request;
    if (speculation.method === 'none') return 0;
    const { draftTokens } = speculation;
    const wanted = draftTokens === 'adaptive' ? this.#depth.tokens(cost) : Math.min(draftTokens, maxDraftTokens);
    // The step after next chooses one token even without a guess.
    return Math.max(0, Math.min(wanted, maxTokens - this.completion - 1));
  }

  /** Tells what the request wants to hear of the prompt's next `count` tokens. */
  tellPrompt(count: number, logprobs: readonly Choice[] | undefined, top: TopTokens | undefined): void {
    if (logprobs) this.#emit({ type: 'prompt', logprobs });
    if (top) this.#emit({ type: 'prompt-top', from: this.untold, ...top });
    this.untold += count;
  }

  /** `stopString`: which one it was that ended it. */
  end(reason: FinishReason, stopString?: string): void {
    this.#finish(reason, { stopString });
  }

  #finish(
    reason: FinishReason,
    by: { readonly stopString?: string | undefined; readonly stopToken?: TokenLogprob },
  ): void {
    // What was held for a stop string that never came, and a character that never became whole.
    if (this.#held) {
      const rest = this.#stop.push(this.#decoder.end()).text + this.#stop.end();
      this.#emit({ ...this.#held, text: this.#held.text + rest });
    }
    this.isOver = true;
    this.#emit({
      ...{
        type: 'finish',
        reason,
        stopString: by.stopString,
        promptTokens: this.request.prompt.length,
        completionTokens: this.completion,
      },
      ...{ cacheHitTokens: this.#cacheHit, acceptedDraftTokens: this.#accepted, rejectedDraftTokens: this.#rejected },
      ...(by.stopToken && { stopToken: by.stopToken }),
      ...(this.#queuedMs !== undefined && { queuedMs: this.#queuedMs }),
    });
  }

  get #answerIsFull(): boolean {
    const limit = this.request.answerLimit;
    return !!limit && this.#answerBegin !== undefined && this.completion - this.#answerBegin >= limit.maxTokens;
  }

  #release(): void {
    if (this.#held) this.#emit(this.#held);
    this.#held = undefined;
  }
}

/** The choice after the first `guess` tokens of the draft, as it would be made without one. */
export function choiceRow(sequence: Sequence, guess: number): ChoiceRow {
  const { request, seed, completion, counts, draft } = sequence;
  return {
    sampling: request,
    uniform: uniformAt(seed, completion + guess),
    counts: guess === 0 ? counts : countsWith(counts, draft.slice(0, guess)),
    forced: sequence.forcedAfter(guess),
    allowed: sequence.allowedAfter(guess),
  };
}

function countsWith(counts: ReadonlyMap<number, number>, ids: readonly number[]): ReadonlyMap<number, number> {
  const all = new Map(counts);
  for (const id of ids) all.set(id, (all.get(id) ?? 0) + 1);
  return all;
}
