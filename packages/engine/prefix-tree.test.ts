import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type PageNode, PrefixTree } from './prefix-tree.ts';

const pageTokens = 4;

/** Keeps every full page of `tokens` as a sequence would that computes them all. */
function write(tree: PrefixTree, namespace: string, tokens: readonly number[]): PageNode[] {
  const path = tree.hold(namespace, tokens, tokens.length);
  for (let at = path.length * pageTokens; at + pageTokens <= tokens.length; at += pageTokens) {
    const page = tree.take();
    if (page === undefined) break;
    path.push(tree.keep(namespace, path.at(-1), tokens.slice(at, at + pageTokens), page));
  }
  return path;
}

const count = (from: number, length: number) => Array.from({ length }, (_, i) => from + i);

test('whoever begins alike reads the same pages, up to the last page that is full and equal', () => {
  const tree = new PrefixTree(8, pageTokens);
  const first = write(tree, 'a', count(0, 11));
  assert.equal(first.length, 2);
  const second = tree.hold('a', [...count(0, 6), 99, 100, 101], 9);
  assert.deepEqual(
    second.map(({ page }) => page),
    [first[0]?.page],
  );
  assert.deepEqual(tree.hold('a', count(0, 11), 7).length, 1);
});

test('namespaces never meet', () => {
  const tree = new PrefixTree(8, pageTokens);
  write(tree, 'a', count(0, 8));
  assert.deepEqual(tree.hold('b', count(0, 8), 8), []);
  assert.deepEqual(tree.hold('', count(0, 8), 8), []);
});

test('a page kept twice is kept once: the second writer reads the first one’s page and its own becomes free', () => {
  const tree = new PrefixTree(2, pageTokens);
  const [mine, yours] = [tree.take() as number, tree.take() as number];
  const kept = tree.keep('', undefined, count(0, 4), mine);
  assert.equal(tree.keep('', undefined, count(0, 4), yours).page, kept.page);
  assert.equal(tree.take(), yours);
  assert.equal(tree.take(), undefined);
});

test('the prefix that went unread for longest is given up first, from its end', () => {
  const tree = new PrefixTree(4, pageTokens);
  const old = write(tree, '', count(0, 8));
  tree.release(old);
  const young = write(tree, '', count(100, 8));
  tree.release(young);
  tree.release(tree.hold('', count(0, 8), 8));
  assert.equal(tree.take(), young[1]?.page);
  assert.equal(tree.take(), young[0]?.page);
  assert.equal(tree.take(), old[1]?.page);
  assert.equal(tree.hold('', count(0, 8), 8).length, 1);
  assert.equal(tree.take(), undefined);
});

test('releasing more often than holding is a bug that is heard of', () => {
  const tree = new PrefixTree(2, pageTokens);
  const path = write(tree, '', count(0, 4));
  tree.release(path);
  assert.throws(() => tree.release(path), /page 0 was let go more often than held/);
  assert.throws(() => tree.keep('', undefined, [1], 1), /expected a page of 4 tokens, got 1/);
});

test('whatever comes and goes: no page is in two places, none is lost, and what is held reads as it was written', () => {
  const action = fc.record({
    kind: fc.constantFrom('begin', 'end'),
    namespace: fc.constantFrom('a', 'b'),
    // Few tokens and short prompts, so that prefixes meet.
    tokens: fc.array(fc.integer({ min: 0, max: 1 }), { maxLength: 24 }),
    which: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), fc.integer({ min: 1, max: 12 }), (actions, pageCount) => {
      const tree = new PrefixTree(pageCount, pageTokens);
      /** What a page was last written with. */
      const content = new Map<number, string>();
      const running: { path: PageNode[]; prefix: string[] }[] = [];
      const textOf = (namespace: string, tokens: readonly number[], pages: number) =>
        Array.from({ length: pages }, (_, i) => `${namespace}:${tokens.slice(0, (i + 1) * pageTokens)}`);
      for (const { kind, namespace, tokens, which } of actions) {
        if (kind === 'end') {
          const [ended] = running.length > 0 ? running.splice(which % running.length, 1) : [];
          if (ended) tree.release(ended.path);
          continue;
        }
        const path = tree.hold(namespace, tokens, tokens.length);
        const prefix = textOf(namespace, tokens, Math.floor(tokens.length / pageTokens));
        for (let i = path.length; i < prefix.length; i++) {
          const page = tree.take();
          if (page === undefined) break;
          content.set(page, prefix[i] as string);
          path.push(tree.keep(namespace, path.at(-1), tokens.slice(i * pageTokens, (i + 1) * pageTokens), page));
        }
        running.push({ path, prefix });
        for (const { path, prefix } of running) {
          path.forEach(({ page }, i) => {
            assert.equal(content.get(page), prefix[i]);
          });
        }
        const held = new Set(running.flatMap(({ path }) => path.map(({ page }) => page)));
        assert.equal(held.size + tree.available, pageCount);
      }
    }),
  );
});
