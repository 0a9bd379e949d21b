// The loop that serves many requests with one model.
//
// Owns which sequences run, what each of them reads in a step and where its rows go. One call of `step` is one pass through
// the model over all of them; long prompts are read in pieces, so that they do not stall the others. Who is let in next is
// the waiting line's business, what a sequence says is its own. Knows nothing of threads or HTTP. Invariant: a request's
// tokens do not depend on what shares its steps, on what was cached, or on whether it had to start again.

import type { Tokenizer } from '@hadal/formats/tokenizer';
import type { Device } from '@hadal/kernels/device';
import type { CacheLayout } from '@hadal/models/architecture';
import type { LanguageModel } from '@hadal/models/language-model';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';
import type { Tensor } from '@hadal/tensor/tensor';
import { ConstraintCache } from './constraints/constraint-cache.ts';
import { makeVocabulary, type Vocabulary } from './constraints/vocabulary.ts';
import { MtpDrafter } from './drafters/mtp.ts';
import { NgramDrafter } from './drafters/ngram.ts';
import { type EngineLoad, type FinishReason, type GenerateRequest, maxTopPromptLogprobs } from './engine.ts';
import { KvCache } from './kv-cache.ts';
import { StepPace } from './pace.ts';
import type { PageFiles } from './page-files.ts';
import { PrefixStore } from './prefix-store.ts';
import { PrefixTree } from './prefix-tree.ts';
import { type Choice, type ChoiceRow, chooseTokens, scoreTokens, topTokens } from './sampler.ts';
import { choiceRow, type Listener, Sequence } from './sequence.ts';
import { SequencePages } from './sequence-pages.ts';
import { type AdapterInfo, adapterRowsOf, ServedAdapters } from './served-adapters.ts';
import {
  DraftDepth,
  type Drafter,
  type DrafterName,
  drafterNames,
  maxDraftTokens,
  type ReadSpan,
} from './speculation.ts';
import { StepThreads } from './step-threads.ts';
import { StepTimes } from './step-times.ts';
import { WaitingLine } from './waiting-line.ts';

export interface RunnerOptions {
  readonly cacheBytes: number;
  /** Tokens in one pass at most, prompts and completions together. */
  readonly stepTokens: number;
  /** How long prompts may hold up the sequences that already speak, in each step. */
  readonly stallMs: number;
  /** Sequences that run at a time, and that may wait. */
  readonly maxRunning: number;
  readonly maxWaiting: number;
  /** After how long a batch request counts as interactive. */
  readonly patienceMs: number;
  /** Milliseconds on any clock that does not go back. */
  readonly now: () => number;
  /** Where prefixes outlive the process, and what tells this model's from others'; undefined: nowhere. */
  readonly prefixFiles:
    | { readonly files: PageFiles; readonly fingerprint: string; readonly readBytes?: number }
    | undefined;
  /** Who guesses ahead, beside the n-gram drafter and the model's own module; the runner owns them. */
  readonly drafters: Readonly<Partial<Record<DrafterName, Drafter>>>;
}

export const runnerDefaults = {
  ...{ cacheBytes: 512 * 2 ** 20, stepTokens: 512, stallMs: 150 },
  ...{ maxRunning: 256, maxWaiting: 4096, patienceMs: 30_000, now: () => performance.now() },
  ...{ prefixFiles: undefined, drafters: {} },
} satisfies RunnerOptions;

/** What a step reads of one sequence: `count` unread tokens, then its draft where they are the last. */
interface Span {
  readonly sequence: Sequence;
  readonly pages: SequencePages;
  readonly tokens: readonly number[];
  /** Whether the next token can be chosen after this. */
  readonly isLast: boolean;
  /** First row of the batch. */
  readonly row: number;
}

/** Rows whose logits exist at a time while a prompt's own log-probabilities are taken. */
const promptChunkRows = 64;

export class Runner {
  readonly #device: Device;
  readonly #model: LanguageModel;
  readonly #tokenizer: Tokenizer;
  readonly #options: RunnerOptions;
  readonly #cache: KvCache;
  readonly #tree: PrefixTree;
  readonly #store: PrefixStore | undefined;
  readonly #arena: Arena;
  readonly #waiting: WaitingLine<Sequence>;
  readonly #pace: StepPace;
  readonly #times = new StepTimes();
  readonly #threads = new StepThreads();
  /** How each drafter's guesses have fared. */
  readonly #guesses: Readonly<Record<DrafterName, DraftDepth>> = {
    ...{ mtp: new DraftDepth(), ngram: new DraftDepth(), draft: new DraftDepth() },
  };
  readonly #drafters: Readonly<Partial<Record<DrafterName, Drafter>>>;
  readonly #adapters: ServedAdapters;
  #vocabulary: Vocabulary | undefined;
  /** Of requests that end with the same tokens, which those of one model do. */
  #compiled: { readonly stopTokens: readonly number[]; readonly cache: ConstraintCache } | undefined;
  /** In order of arrival. */
  #running: Sequence[] = [];

  constructor(device: Device, model: LanguageModel, tokenizer: Tokenizer, options: Partial<RunnerOptions> = {}) {
    this.#device = device;
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#options = { ...runnerDefaults, ...options };
    const { cacheBytes, maxWaiting, patienceMs, stallMs, stepTokens } = this.#options;
    this.#cache = new KvCache(device, model.cache, cacheBytes);
    this.#tree = new PrefixTree(this.#cache.pageCount, this.#cache.pageTokens);
    const { prefixFiles } = this.#options;
    this.#store =
      prefixFiles &&
      new PrefixStore(prefixFiles.files, this.#cache, this.#tree, prefixFiles.fingerprint, prefixFiles.readBytes);
    this.#arena = new Arena(device.memory, 16 * 2 ** 20);
    this.#adapters = new ServedAdapters(model.adapters);
    this.#waiting = new WaitingLine({ capacity: maxWaiting, patienceMs });
    this.#pace = new StepPace(stallMs, stepTokens);
    this.#drafters = canTakeBack(model.cache) ? { ...this.#ownDrafters(), ...this.#options.drafters } : {};
  }

  /** Who can guess ahead for this model. */
  get drafters(): DrafterName[] {
    return drafterNames.filter((name) => this.#drafters[name] !== undefined);
  }

  get hasWork(): boolean {
    return this.#waiting.length + this.#running.length > 0;
  }

  /** When there is no work, all pages are available. */
  get load(): EngineLoad {
    return {
      ...{ waiting: this.#waiting.length, running: this.#running.length },
      ...{ pages: this.#cache.pageCount, availablePages: this.#tree.available },
    };
  }

  /** Queues a request. `seed` decides its random choices; `key` names it for `abort`. */
  add(key: number, request: GenerateRequest, seed: number, emit: Listener): void {
    const problem = this.#reject(request);
    if (problem) {
      emit({ type: 'error', message: problem });
    } else if (this.#waiting.isFull) {
      emit({ type: 'refused', waiting: this.#waiting.length });
    } else {
      const constraint = request.constraint && this.#constraints(request.stopTokens).compile(request.constraint);
      if (constraint?.type === 'refused') {
        const { pointer, tool, reason } = constraint;
        emit({ type: 'unenforceable', refusal: { pointer, tool, reason } });
        return;
      }
      emit({ type: 'accepted' });
      const arrivedMs = this.#options.now();
      const matcher = constraint?.constraint.matcher();
      const { method } = request.speculation;
      const guesses = method === 'none' ? undefined : this.#guesses[method];
      const adapter = request.adapter === undefined ? undefined : this.#adapters.hold(request.adapter);
      this.#waiting.add(
        new Sequence(key, request, { seed, arrivedMs, emit, tokenizer: this.#tokenizer, matcher, adapter, guesses }),
      );
    }
  }

  /** Between two steps. Throws one line where the name is in use, or the directory has no adapter of this model. */
  loadAdapter(name: string, directory: string): AdapterInfo {
    return this.#adapters.load(name, directory);
  }

  /** Requests that name it already go on with it. Throws one line where there is none. */
  unloadAdapter(name: string): undefined {
    this.#adapters.unload(name);
  }

  /** Ends a request at once, wherever it is; a request that has ended is none of our business. */
  abort(key: number): void {
    const running = this.#running.find((sequence) => sequence.key === key);
    if (running) running.end('aborted');
    else this.#endWaiting(key, 'aborted');
    this.#leave();
  }

  /** One pass through the model. */
  step(): void {
    const begun = this.#options.now();
    this.#expire(begun);
    this.#admit(begun);
    const spans = this.#plan();
    if (spans.length === 0) return;
    const isDecoding = spans.every(({ sequence }) => sequence.isDecoding);
    const rows = spans.reduce((sum, { tokens }) => sum + tokens.length, 0);
    const { commands } = this.#device;
    commands.isAlone = isDecoding && this.#threads.isAlone(rows);
    this.#arena.reset();
    const g = new Graph(this.#device, this.#arena, 'inference');
    const { hidden, chosen } = this.#forward(g, spans);
    const read = this.#advance(spans, chosen);
    if (isDecoding) {
      const ms = this.#options.now() - begun;
      this.#times.noteStep(rows, ms);
      this.#threads.note(rows, commands.isAlone, ms);
    }
    this.#speculate(g, hidden, read);
    commands.isAlone = false;
    this.#leave();
    this.#pace.note(rows, this.#options.now() - begun);
  }

  /** Resolves when the prefixes read so far are on disk. */
  async flush(): Promise<void> {
    await this.#store?.flush();
  }

  [Symbol.dispose](): void {
    for (const drafter of Object.values(this.#drafters)) drafter[Symbol.dispose]();
    this.#cache[Symbol.dispose]();
    this.#arena[Symbol.dispose]();
  }

  #ownDrafters(): Partial<Record<DrafterName, Drafter>> {
    const { predictor } = this.#model;
    const mtp = predictor && new MtpDrafter(this.#device, predictor, this.#cache);
    return { ngram: new NgramDrafter(), ...(mtp && { mtp }) };
  }

  /** Compiled constraints for completions that end with one of these tokens. */
  #constraints(stopTokens: readonly number[]): ConstraintCache {
    const known = this.#compiled;
    if (known?.stopTokens.join() === stopTokens.join()) return known.cache;
    this.#vocabulary ??= makeVocabulary({
      ...{ tokenizer: this.#tokenizer, stopTokens, size: this.#model.vocabularySize },
    });
    const cache = new ConstraintCache({ ...this.#vocabulary, stopTokens });
    this.#compiled = { stopTokens, cache };
    return cache;
  }

  #reject(request: GenerateRequest): string | undefined {
    const { prompt, maxTokens, speculation, constraint, stopTokens, topPromptLogprobs, promptLogprobsFrom } = request;
    if (prompt.length === 0) return 'prompt: expected at least one token';
    if (request.adapter !== undefined && !this.#adapters.has(request.adapter)) {
      return `adapter: expected one that is loaded, got "${request.adapter}"`;
    }
    if (topPromptLogprobs !== undefined && !isWithin(topPromptLogprobs, 1, maxTopPromptLogprobs)) {
      return `topPromptLogprobs: expected 1 to ${maxTopPromptLogprobs} tokens, got ${topPromptLogprobs}`;
    }
    if (!isWithin(promptLogprobsFrom, 1, Infinity))
      return `promptLogprobsFrom: expected a token from 1 on, got ${promptLogprobsFrom}`;
    if (constraint && stopTokens.length === 0) return 'stopTokens: expected one at least beside a constraint, got none';
    const { contextLength, vocabularySize } = this.#model;
    const foreign = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabularySize);
    if (foreign !== undefined) return `prompt: expected token ids from 0 to ${vocabularySize - 1}, got ${foreign}`;
    const total = prompt.length + maxTokens;
    if (maxTokens < 1 || total > contextLength) {
      return `maxTokens: expected 1 to ${contextLength - prompt.length} after ${prompt.length} of prompt, got ${maxTokens}`;
    }
    if (speculation.method !== 'none') {
      const { method, draftTokens } = speculation;
      if (!this.#drafters[method]) return `speculation: this model has no drafter "${method}"`;
      if (draftTokens !== 'adaptive' && !(draftTokens >= 1 && draftTokens <= maxDraftTokens)) {
        return `speculation: expected 1 to ${maxDraftTokens} tokens ahead, got ${draftTokens}`;
      }
    }
    const room = this.#cache.pageCount * this.#cache.pageTokens;
    return total > room ? `prompt: expected at most ${room} tokens with the completion, got ${total}` : undefined;
  }

  #expire(nowMs: number): void {
    const isLate = ({ request, arrivedMs, hasBegun }: Sequence) => {
      const { deadlineMs = Infinity, startDeadlineMs = Infinity } = request;
      return nowMs - arrivedMs >= Math.min(deadlineMs, hasBegun ? Infinity : startDeadlineMs);
    };
    for (const { key } of [...this.#waiting].filter(isLate)) this.#endWaiting(key, 'deadline');
    for (const sequence of this.#running.filter(isLate)) sequence.end('deadline');
    this.#leave();
  }

  /** Lets in whoever is next, as long as there are pages for what it has to read and for everyone's next token. */
  #admit(nowMs: number): void {
    while (this.#running.length < this.#options.maxRunning) {
      const next = this.#waiting.next(nowMs);
      if (!next) return;
      next.jump();
      if (next.isOver) {
        this.#waiting.remove(next.key);
        this.#dismiss(next);
        continue;
      }
      const pages = new SequencePages(this.#tree, next.prefixNamespace, this.#store);
      pages.adopt(next.tokens, next.adoptable);
      const needed = pages.missing(next.tokens.length - pages.length + 1) + this.#running.length;
      // Alone it always fits, as `add` has seen to. Nobody overtakes it meanwhile: it would never find room.
      if (this.#running.length > 0 && needed > this.#tree.available) {
        pages.release();
        return;
      }
      this.#waiting.remove(next.key);
      next.noteBegin(nowMs);
      next.adopt(pages);
      const place = this.#running.findIndex(({ arrivedMs }) => arrivedMs > next.arrivedMs);
      this.#running.splice(place < 0 ? this.#running.length : place, 0, next);
    }
  }

  /**
   * Who reads what in this step. Sequences that speak go first. The rest is divided evenly between those that are still
   * reading, so that a short prompt is through soon and a long one always goes on.
   */
  #plan(): Span[] {
    const spans: Span[] = [];
    let row = 0;
    const include = (sequence: Sequence, limit: number): void => {
      const { pages, draft } = sequence;
      if (!pages) return; // it had to make room for an older one
      const unread = sequence.tokens.slice(pages.length, pages.length + limit);
      const isLast = pages.length + unread.length === sequence.tokens.length;
      const tokens = isLast ? [...unread, ...draft] : unread;
      if (!this.#makeRoom(sequence, pages, tokens.length)) return;
      spans.push({ sequence, pages, tokens, isLast, row });
      row += tokens.length;
    };

    const speaking = this.#running.filter((sequence) => sequence.isDecoding);
    for (const sequence of speaking) include(sequence, sequence.unread);
    const reading = this.#distinct(this.#running.filter((sequence) => sequence.pages && !sequence.isDecoding));
    let left = this.#pace.promptTokens(row);
    for (const [i, sequence] of reading.entries()) {
      const share = Math.ceil(left / (reading.length - i));
      if (share <= 0) break;
      const before = row;
      include(sequence, share);
      left -= row - before;
    }
    // Whoever lost its pages to an older one after it was included here reads nothing.
    const kept = spans.filter(({ sequence, pages }) => sequence.pages === pages).sort(byAdapter);
    let first = 0;
    return kept.map((span) => {
      const moved = { ...span, row: first };
      first += span.tokens.length;
      return moved;
    });
  }

  /**
   * Of those that read, one for each page that is to be written: whoever comes with the same prefix waits for it, and finds
   * it in the tree afterwards.
   */
  #distinct(reading: readonly Sequence[]): Sequence[] {
    const writing = new Set<string>();
    return reading.filter((sequence) => {
      const { pages, tokens, adoptable } = sequence;
      if (!pages) return true;
      const before = pages.length;
      sequence.adopt(pages);
      // What is on disk is brought back piece by piece, and nothing of it computed meanwhile.
      if (pages.length > before && pages.isContinuedOnDisk(tokens, adoptable)) return false;
      const page = pages.openPage(tokens);
      if (page === undefined) return true;
      // Nobody waits for what he must read himself.
      if (writing.has(page.key)) return page.isBegun || page.end > adoptable;
      writing.add(page.key);
      return true;
    });
  }

  /** Pages for `count` more tokens, if need be from the sequence that came last, which then waits. */
  #makeRoom(sequence: Sequence, pages: SequencePages, count: number): boolean {
    while (!pages.reserve(count)) {
      const newest = this.#running.findLast((running) => running.pages);
      if (!newest) throw new Error('runner: a sequence runs without being among those that run');
      this.#suspend(newest);
      if (newest === sequence) return false;
    }
    return true;
  }

  /** Takes a sequence's pages away. It keeps its tokens, and reads them again when it is let in once more. */
  #suspend(sequence: Sequence): void {
    sequence.pages?.release();
    sequence.pages = undefined;
    sequence.draft = [];
    this.#forget(sequence);
    this.#running = this.#running.filter((running) => running !== sequence);
    this.#waiting.putBack(sequence);
  }

  /** Runs the spans through the model. For each of them the tokens chosen after its last token and after each guess. */
  #forward(g: Graph, spans: readonly Span[]): { hidden: Tensor; chosen: Choice[][] } {
    const { arena } = g;
    const ids = arena.integers(Int32Array.from(spans.flatMap(({ tokens }) => tokens)));
    const extensions = spans.map(({ pages, tokens }) => ({ lease: pages, count: tokens.length }));
    const { memory, positions } = this.#cache.extend(arena, extensions);
    const rowsOf = spans.map(({ sequence: { adapter }, tokens }) => ({ adapter, count: tokens.length }));
    const hidden = g.withAdapters(adapterRowsOf(rowsOf), () => this.#model.forward(g, ids, positions, memory));
    for (const span of spans) this.#scorePrompt(g, hidden, span);

    const rows: number[] = [];
    const choices: ChoiceRow[] = [];
    for (const span of spans) {
      if (!span.isLast) continue;
      for (const [guess, row] of choiceRows(span)) {
        rows.push(row);
        choices.push(choiceRow(span.sequence, guess));
      }
    }
    if (rows.length === 0) {
      g.run();
      return { hidden, chosen: spans.map(() => []) };
    }
    const logits = g.linear(g.embedding(hidden, arena.integers(Int32Array.from(rows))), this.#model.head);
    const all = chooseTokens(this.#device, arena, logits, choices);
    let next = 0;
    const chosen = spans.map(({ isLast, sequence }) => {
      const first = next;
      if (isLast) next += sequence.draft.length + 1;
      return all.slice(first, next);
    });
    return { hidden, chosen };
  }

  /** Tells a prompt's log-probabilities, as far as this step reads it. */
  #scorePrompt(g: Graph, hidden: Tensor, { sequence, pages, tokens, row }: Span): void {
    const { prompt, promptLogprobs, topPromptLogprobs, topLogprobs = 0 } = sequence.request;
    const end = Math.min(prompt.length, pages.length + tokens.length + 1);
    while (sequence.untold < end) {
      const mark = g.arena.mark();
      const targets = prompt.slice(sequence.untold, Math.min(end, sequence.untold + promptChunkRows));
      // A token is expected after the row of the one before it.
      const first = row + sequence.untold - 1 - pages.length;
      const places = g.arena.integers(Int32Array.from(targets, (_, i) => first + i));
      const logits = g.linear(g.embedding(hidden, places), this.#model.head);
      const parts = [this.#device, g.arena, logits] as const;
      sequence.tellPrompt(
        targets.length,
        promptLogprobs === 'all' ? scoreTokens(...parts, targets, topLogprobs) : undefined,
        topPromptLogprobs === undefined ? undefined : topTokens(...parts, topPromptLogprobs),
      );
      g.arena.rewind(mark);
    }
  }

  /** Takes what was read as read, and what was chosen as said. A guess is right where it is what was chosen. */
  #advance(spans: readonly Span[], chosen: readonly Choice[][]): ReadSpan[] {
    return spans.map(({ sequence, pages, tokens, isLast, row }, i) => {
      const { draft, request } = sequence;
      const position = pages.length;
      pages.length += tokens.length - (isLast ? draft.length : 0);
      this.#waiting.serve(request.namespace, tokens.length);
      sequence.draft = [];
      if (isLast) {
        const choices = chosen[i] as Choice[];
        let right = 0;
        sequence.accept(choices[0] as Choice);
        while (!sequence.isOver && right < draft.length && draft[right] === choices[right]?.id) {
          right++;
          pages.length++;
          sequence.accept(choices[right] as Choice);
        }
        sequence.noteDraft(right, draft.length - right);
        const { method } = request.speculation;
        if (method !== 'none') this.#guesses[method].note(right, draft.length - right);
        sequence.jump();
      }
      pages.keepFull(sequence.tokens);
      sequence.noteRead();
      return { sequence, row, position, count: pages.length - position, wanted: isLast ? this.#wanted(sequence) : 0 };
    });
  }

  /** Guesses to make for a sequence. When many run, a step is full of work anyway, and guesses would only add to it. */
  #wanted(sequence: Sequence): number {
    const drafter = this.#drafterOf(sequence);
    const { method } = sequence.request.speculation;
    // Guesses follow the token just chosen, and not what came after it without a choice.
    if (!drafter || method === 'none' || sequence.isOver || sequence.unread > 1) return 0;
    const share = Math.floor(this.#options.stepTokens / this.#running.length) - 1;
    const cost = this.#times.draftCost(method, this.#running.length, drafter.cost);
    const worth = sequence.draftTokens(cost);
    // It would go on taking time; and what it has not seen it cannot go on from.
    if (worth === 0 && drafter.followsEveryRow) sequence.isPlain = true;
    const wanted = Math.max(0, Math.min(worth, share));
    // Guesses must not cost another sequence its pages.
    return wanted > 0 && sequence.pages?.reserve(wanted + 1) ? wanted : 0;
  }

  #speculate(g: Graph, hidden: Tensor, read: readonly ReadSpan[]): void {
    for (const name of this.drafters) {
      const drafter = this.#drafters[name] as Drafter;
      const spans = read.filter(({ sequence }) => this.#drafterOf(sequence) === drafter && !sequence.isOver);
      if (spans.length === 0) continue;
      const begun = this.#options.now();
      drafter.draft(g, hidden, spans);
      const depth = Math.max(...spans.map(({ wanted }) => wanted));
      if (depth > 0) this.#times.noteDraft(name, depth, this.#options.now() - begun);
      for (const { sequence } of spans) sequence.propose(this.#known(sequence.draft));
    }
  }

  /** A draft as far as the model has rows for it: a smaller one may have more of them than there are tokens. */
  #known(draft: readonly number[]): readonly number[] {
    const foreign = draft.findIndex((id) => id >= this.#model.vocabularySize);
    return foreign < 0 ? draft : draft.slice(0, foreign);
  }

  #drafterOf({ request: { speculation }, isPlain }: Sequence): Drafter | undefined {
    return speculation.method === 'none' || isPlain ? undefined : this.#drafters[speculation.method];
  }

  #forget(sequence: Sequence): void {
    this.#drafterOf(sequence)?.forget(sequence);
  }

  /** Lets go of what has ended. */
  #leave(): void {
    if (!this.#running.some(({ isOver }) => isOver)) return;
    const over = this.#running.filter(({ isOver }) => isOver);
    this.#running = this.#running.filter(({ isOver }) => !isOver);
    for (const sequence of over) {
      sequence.pages?.release();
      this.#forget(sequence);
      this.#dismiss(sequence);
    }
  }

  #endWaiting(key: number, reason: FinishReason): void {
    const sequence = this.#waiting.remove(key);
    if (!sequence) return;
    sequence.end(reason);
    this.#dismiss(sequence);
  }

  /** Nothing is kept any more for a sequence that has ended and neither waits nor runs. */
  #dismiss({ namespace, adapter }: Sequence): void {
    if (adapter) this.#adapters.release(adapter);
    if (!this.#running.some((running) => running.namespace === namespace)) this.#waiting.leave(namespace);
  }
}

function isWithin(n: number, least: number, most: number): boolean {
  return Number.isInteger(n) && n >= least && n <= most;
}

/**
 * Whether a token that was read can be read over by another. A row for several tokens goes on from what they left in it: a
 * wrong guess would stay in there.
 */
function canTakeBack(layout: CacheLayout): boolean {
  return layout.every((stores) => Object.values(stores).every(({ tokensPerRow = 1 }) => tokensPerRow === 1));
}

/** The rows of an adapter follow one another: fewer, larger products. Among those of one, in order of arrival. */
function byAdapter({ sequence: a }: Span, { sequence: b }: Span): number {
  const [left, right] = [a.adapter?.key ?? '', b.adapter?.key ?? ''];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Each row after which a token is chosen, with the number of guesses before it. */
function* choiceRows({ sequence, tokens, row }: Span): Iterable<[guess: number, row: number]> {
  const first = row + tokens.length - sequence.draft.length - 1;
  for (let guess = 0; guess <= sequence.draft.length; guess++) yield [guess, first + guess];
}
