// Prefixes on disk behind the prefix tree.
//
// Owns the way of a page from the cache to its file and back: under which name, in which order, how much at a time. Pages are
// copied when they become full and written in the background; a process that is killed loses what had not been written.
// When the disk cannot keep up, or fails, pages are left out: they cost a computation, never an answer.

import type { KvCache } from './kv-cache.ts';
import { type PageFiles, pageName } from './page-files.ts';
import type { PageNode, PrefixTree } from './prefix-tree.ts';

/** What may wait to be written. */
const maxQueueBytes = 256 * 2 ** 20;

/** What is read from the disk at a time: the steps of others wait for it. */
const usualReadBytes = 32 * 2 ** 20;

export class PrefixStore {
  readonly #files: PageFiles;
  readonly #cache: KvCache;
  readonly #tree: PrefixTree;
  /** Tells this model's rows from all others: weights, form of attention, layout. */
  readonly #fingerprint: string;
  readonly #readBytes: number;
  readonly #names = new WeakMap<PageNode, Buffer>();
  readonly #queue: { readonly name: Buffer; readonly page: Uint8Array }[] = [];
  #queueBytes = 0;
  #writing: Promise<void> | undefined;

  constructor(
    files: PageFiles,
    cache: KvCache,
    tree: PrefixTree,
    fingerprint: string,
    readBytes: number = usualReadBytes,
  ) {
    this.#files = files;
    this.#cache = cache;
    this.#tree = tree;
    this.#fingerprint = fingerprint;
    this.#readBytes = readBytes;
  }

  /**
   * Brings back pages of `tokens` that lie on disk behind `path`, as many as are read at a time and end within `maxTokens`.
   * The caller holds what it gets.
   */
  restore(namespace: string, tokens: readonly number[], maxTokens: number, path: readonly PageNode[]): PageNode[] {
    const { pageTokens } = this.#tree;
    const restored: PageNode[] = [];
    const most = Math.max(1, Math.floor(this.#readBytes / this.#cache.pageBytes));
    for (let parent = path.at(-1); restored.length < most; parent = restored.at(-1)) {
      const begin = (path.length + restored.length) * pageTokens;
      if (begin + pageTokens > Math.min(tokens.length, maxTokens)) break;
      const content = tokens.slice(begin, begin + pageTokens);
      const name = this.#nameBehind(parent, namespace, content);
      const bytes = this.#files.has(name) ? this.#files.read(name, this.#cache.pageBytes) : undefined;
      const page = bytes && this.#tree.take();
      if (page === undefined) break;
      this.#cache.writePage(page, bytes as Uint8Array);
      const node = this.#tree.keep(namespace, parent, content, page);
      this.#names.set(node, name);
      restored.push(node);
    }
    return restored;
  }

  /** Whether the page of `tokens` behind `path` lies on disk, and ends within `maxTokens`. */
  has(namespace: string, tokens: readonly number[], maxTokens: number, path: readonly PageNode[]): boolean {
    const { pageTokens } = this.#tree;
    const begin = path.length * pageTokens;
    if (begin + pageTokens > Math.min(tokens.length, maxTokens)) return false;
    return this.#files.has(this.#nameBehind(path.at(-1), namespace, tokens.slice(begin, begin + pageTokens)));
  }

  /** A page of `tokens` has become full. */
  save(node: PageNode, tokens: readonly number[]): void {
    const name = this.#nameBehind(node.parent, node.namespace, tokens);
    this.#names.set(node, name);
    if (this.#files.has(name) || this.#queueBytes + this.#cache.pageBytes > maxQueueBytes) return;
    this.#queue.push({ name, page: this.#cache.readPage(node.page) });
    this.#queueBytes += this.#cache.pageBytes;
    this.#writing ??= this.#write();
  }

  /** Resolves when everything is on disk that was to go there. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
      // A full or broken disk is no reason to stop serving.
      await this.#files.write(next.name, next.page).catch(() => {});
      this.#queueBytes -= this.#cache.pageBytes;
    }
    this.#writing = undefined;
  }

  #nameBehind(parent: PageNode | undefined, namespace: string, tokens: readonly number[]): Buffer {
    const before = parent && this.#names.get(parent);
    if (parent && !before) throw new Error(`prefix store: page ${parent.page} was kept without a name`);
    return pageName(before, `${this.#fingerprint}/${namespace}`, tokens);
  }
}
