// The pages of one sequence.
//
// Owns which pages hold a sequence's tokens, in order: first those it shares through the prefix tree, then those it writes
// alone. A page goes from the second kind to the first as soon as it is full. Knows nothing of what is in the pages.
// Invariant: everything before `length` is written; `release` gives back everything, whatever happened before.

import type { PageLease } from './kv-cache.ts';
import type { PrefixStore } from './prefix-store.ts';
import type { PageNode, PrefixTree } from './prefix-tree.ts';

export class SequencePages implements PageLease {
  readonly pages: number[] = [];
  /** Tokens whose rows are written. */
  length = 0;
  readonly #tree: PrefixTree;
  readonly #namespace: string;
  readonly #store: PrefixStore | undefined;
  /** The first pages, as nodes of the tree. */
  #path: PageNode[] = [];

  /** `store`: where pages go that are to outlive the process. */
  constructor(tree: PrefixTree, namespace: string, store?: PrefixStore) {
    this.#tree = tree;
    this.#namespace = namespace;
    this.#store = store;
  }

  /**
   * Takes over pages that others have written of `tokens`, at most `maxTokens` tokens in all: whole pages, and none while one
   * of its own is half written.
   */
  adopt(tokens: readonly number[], maxTokens: number): void {
    const { pageTokens } = this.#tree;
    if (this.length !== this.#path.length * pageTokens || this.length + pageTokens > maxTokens) return;
    // Pages that were reserved and not written to yet.
    for (const page of this.pages.splice(this.#path.length)) this.#tree.give(page);
    this.#path.push(...this.#tree.hold(this.#namespace, tokens, maxTokens, this.#path));
    this.#path.push(...(this.#store?.restore(this.#namespace, tokens, maxTokens, this.#path) ?? []));
    this.pages.push(...this.#path.slice(this.pages.length).map(({ page }) => page));
    this.length = this.#path.length * pageTokens;
  }

  /** Whether more of `tokens` lies on disk, right behind what it has. */
  isContinuedOnDisk(tokens: readonly number[], maxTokens: number): boolean {
    return this.#store?.has(this.#namespace, tokens, maxTokens, this.#path) === true;
  }

  /** Pages that `count` more tokens would take. */
  missing(count: number): number {
    return Math.max(0, Math.ceil((this.length + count) / this.#tree.pageTokens) - this.pages.length);
  }

  /** Makes room for `count` more tokens. False, and nothing taken, where there are no pages for them. */
  reserve(count: number): boolean {
    const missing = this.missing(count);
    if (missing > this.#tree.available) return false;
    for (let i = 0; i < missing; i++) this.pages.push(this.#tree.take() as number);
    return true;
  }

  /** Shares the pages that are full of `tokens`, which the sequence has just written up to `length`. */
  keepFull(tokens: readonly number[]): void {
    const { pageTokens } = this.#tree;
    for (let i = this.#path.length; (i + 1) * pageTokens <= this.length; i++) {
      const content = tokens.slice(i * pageTokens, (i + 1) * pageTokens);
      const node = this.#tree.keep(this.#namespace, this.#path.at(-1), content, this.pages[i] as number);
      if (node.page === this.pages[i]) this.#store?.save(node, content);
      this.#path.push(node);
      this.pages[i] = node.page;
    }
  }

  /**
   * The page of `tokens` that is written next, or is half written, up to token `end`: its key is equal for two sequences that
   * write the same. undefined where it will not be full of them.
   */
  openPage(
    tokens: readonly number[],
  ): { readonly key: string; readonly end: number; readonly isBegun: boolean } | undefined {
    const { pageTokens } = this.#tree;
    const begin = this.#path.length * pageTokens;
    if (begin + pageTokens > tokens.length) return undefined;
    const content = tokens.slice(begin, begin + pageTokens);
    const key = `${this.#namespace}/${this.#path.at(-1)?.page ?? ''}/${content}`;
    return { key, end: begin + pageTokens, isBegun: this.length > begin };
  }

  /** Lets go of every page. What was full stays in the tree until its memory is needed. */
  release(): void {
    for (const page of this.pages.splice(this.#path.length)) this.#tree.give(page);
    this.#tree.release(this.#path);
    this.#path = [];
    this.pages.length = 0;
    this.length = 0;
  }
}
