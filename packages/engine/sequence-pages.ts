// The pages of one sequence.
//
// Owns which pages hold a sequence's tokens, in order: first those it shares through the prefix tree, then those it writes
// alone. A page goes from the second kind to the first as soon as it is full. Knows nothing of what is in the pages.
// Invariant: everything before `length` is written; `release` gives back everything, whatever happened before.

import type { PageLease } from './kv-cache.ts';
import type { PageNode, PrefixTree } from './prefix-tree.ts';

export class SequencePages implements PageLease {
  readonly pages: number[] = [];
  /** Tokens whose rows are written. */
  length = 0;
  readonly #tree: PrefixTree;
  readonly #namespace: string;
  /** The first pages, as nodes of the tree. */
  #path: PageNode[] = [];

  constructor(tree: PrefixTree, namespace: string) {
    this.#tree = tree;
    this.#namespace = namespace;
  }

  /**
   * Takes over pages that others have written of `tokens`, at most `maxTokens` tokens in all. Returns how many tokens that
   * gained: a multiple of the page, 0 while a page of its own is half written.
   */
  adopt(tokens: readonly number[], maxTokens: number): number {
    if (this.length !== this.#path.length * this.#tree.pageTokens) return 0;
    const found = this.#tree.hold(this.#namespace, tokens, maxTokens, this.#path);
    if (found.length === 0) return 0;
    // Pages that were reserved and not written to yet.
    for (const page of this.pages.splice(this.#path.length)) this.#tree.give(page);
    this.#path.push(...found);
    this.pages.push(...found.map(({ page }) => page));
    const gained = found.length * this.#tree.pageTokens;
    this.length += gained;
    return gained;
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
      this.#path.push(node);
      this.pages[i] = node.page;
    }
  }

  /**
   * The page of `tokens` that is written next, or is half written: equal for two sequences that write the same. undefined
   * where it will not be full of them.
   */
  openPage(tokens: readonly number[]): { readonly key: string; readonly isBegun: boolean } | undefined {
    const { pageTokens } = this.#tree;
    const begin = this.#path.length * pageTokens;
    if (begin + pageTokens > tokens.length) return undefined;
    const content = tokens.slice(begin, begin + pageTokens);
    const key = `${this.#namespace}/${this.#path.at(-1)?.page ?? ''}/${content}`;
    return { key, isBegun: this.length > begin };
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
