// Which pages hold which prefix.
//
// Owns every page of the cache: free, private to one sequence that still writes it, or kept in a tree for all that begin
// alike. A node is one full page; its key is the tokens in it and its parent holds those before, so a path from a root is
// a prefix. Namespaces have roots of their own and never meet. Knows page numbers and tokens, nothing of memory or models.
// Invariant: a page that someone holds is never given away, and whoever holds a node holds all nodes above it.

/** One full page, kept. Its fields are the tree's to change. */
export interface PageNode {
  readonly page: number;
  readonly parent: PageNode | undefined;
  readonly namespace: string;
  readonly key: string;
}

interface Node extends PageNode {
  readonly parent: Node | undefined;
  readonly children: Map<string, Node>;
  /** Sequences that read this page. */
  holders: number;
}

export class PrefixTree {
  readonly pageTokens: number;
  readonly pageCount: number;
  readonly #free: number[];
  readonly #roots = new Map<string, Map<string, Node>>();
  /**
   * Nodes that nobody holds, least recently held first. `release` walks from the last page to the first, so a node stands
   * behind all of its children: the first one is always a leaf.
   */
  readonly #idle = new Set<Node>();

  constructor(pageCount: number, pageTokens: number) {
    this.pageCount = pageCount;
    this.pageTokens = pageTokens;
    this.#free = Array.from({ length: pageCount }, (_, i) => pageCount - 1 - i);
  }

  /** Pages that `take` could give at once, by evicting what nobody holds. */
  get available(): number {
    return this.#free.length + this.#idle.size;
  }

  /** Pages that hold a prefix which nobody reads at the moment. */
  get idle(): number {
    return this.#idle.size;
  }

  /**
   * The longest kept prefix of `tokens`, page by page, at most `maxTokens` tokens of it; behind `path`, which the caller holds,
   * only what goes on from there. The caller holds what it gets and must `release` it.
   */
  hold(namespace: string, tokens: readonly number[], maxTokens: number, path: readonly PageNode[] = []): PageNode[] {
    const found: Node[] = [];
    const last = path.at(-1) as Node | undefined;
    let siblings = last ? last.children : this.#roots.get(namespace);
    const first = (path.length + 1) * this.pageTokens;
    for (let end = first; end <= Math.min(tokens.length, maxTokens); end += this.pageTokens) {
      const node = siblings?.get(pageKey(tokens, end - this.pageTokens, end));
      if (!node) break;
      this.#retain(node);
      found.push(node);
      siblings = node.children;
    }
    return found;
  }

  /** A page to write to, at the cost of the prefix that has gone unread for longest; undefined when all pages are held. */
  take(): number | undefined {
    const page = this.#free.pop();
    if (page !== undefined) return page;
    const [oldest] = this.#idle;
    if (!oldest) return undefined;
    this.#idle.delete(oldest);
    this.#siblings(oldest.namespace, oldest.parent).delete(oldest.key);
    if (!oldest.parent && this.#roots.get(oldest.namespace)?.size === 0) this.#roots.delete(oldest.namespace);
    return oldest.page;
  }

  /** Gives back a page from `take` that has not been kept. */
  give(page: number): void {
    this.#free.push(page);
  }

  /**
   * Keeps a full page, `tokens` [pageTokens], behind `parent`, whose holder the caller is. The caller holds the node it gets,
   * and reads that node's page from then on: when the same tokens are already kept, `page` becomes free again.
   */
  keep(namespace: string, parent: PageNode | undefined, tokens: readonly number[], page: number): PageNode {
    if (tokens.length !== this.pageTokens) {
      throw new Error(`prefix tree: expected a page of ${this.pageTokens} tokens, got ${tokens.length}`);
    }
    const key = pageKey(tokens, 0, tokens.length);
    const siblings = this.#siblings(namespace, parent as Node | undefined);
    const existing = siblings.get(key);
    if (existing) {
      this.#retain(existing);
      this.give(page);
      return existing;
    }
    const node: Node = { page, parent: parent as Node | undefined, namespace, key, children: new Map(), holders: 1 };
    siblings.set(key, node);
    return node;
  }

  /** Lets go of a path from a root, as `hold` and `keep` returned it. Its pages stay until they are needed elsewhere. */
  release(path: readonly PageNode[]): void {
    for (const node of path.toReversed() as Node[]) {
      node.holders--;
      if (node.holders < 0) throw new Error(`prefix tree: page ${node.page} was let go more often than held`);
      if (node.holders === 0) this.#idle.add(node);
    }
  }

  #retain(node: Node): void {
    node.holders++;
    this.#idle.delete(node);
  }

  #siblings(namespace: string, parent: Node | undefined): Map<string, Node> {
    if (parent) return parent.children;
    let roots = this.#roots.get(namespace);
    if (!roots) {
      roots = new Map();
      this.#roots.set(namespace, roots);
    }
    return roots;
  }
}

/** Tokens `begin` to `end` as a string: equal for equal tokens only. */
function pageKey(tokens: readonly number[], begin: number, end: number): string {
  return Buffer.from(Int32Array.from(tokens.slice(begin, end)).buffer).toString('latin1');
}
