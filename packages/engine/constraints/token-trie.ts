// The vocabulary as a tree of bytes.
//
// Owns which tokens begin with which bytes, laid out in preorder so that a walk is one pass over flat arrays and a subtree
// is a stretch of them. Knows nothing of grammars.

export interface TokenTrie {
  /** Node 0 is the root. The byte that leads to each node. */
  readonly byte: Uint8Array;
  /** One more than the last node of each node's subtree. */
  readonly end: Int32Array;
  /** Bytes from the root. */
  readonly depth: Uint16Array;
  /** Characters that begin on the way from the root. */
  readonly characters: Uint16Array;
  /** The token that is spelled so, or -1. */
  readonly token: Int32Array;
  /** Further tokens with the same bytes, by node. */
  readonly doubles: ReadonlyMap<number, readonly number[]>;
  readonly maxDepth: number;
}

export interface SpelledToken {
  readonly id: number;
  readonly bytes: Uint8Array;
}

export function makeTokenTrie(tokens: readonly SpelledToken[]): TokenTrie {
  const sorted = [...tokens].sort((a, b) => compareBytes(a.bytes, b.bytes) || a.id - b.id);
  const room = 1 + sorted.reduce((total, { bytes }) => total + bytes.length, 0);
  const byte = new Uint8Array(room);
  const end = new Int32Array(room);
  const depth = new Uint16Array(room);
  const characters = new Uint16Array(room);
  const token = new Int32Array(room).fill(-1);
  const doubles = new Map<number, number[]>();
  // The nodes from the root to the last token's end.
  const path = [0];
  let count = 1;
  let previous = new Uint8Array(0);
  let maxDepth = 0;
  const closeTo = (length: number) => {
    while (path.length > length + 1) end[path.pop()!] = count;
  };
  for (const { id, bytes } of sorted) {
    let shared = 0;
    while (shared < previous.length && shared < bytes.length && previous[shared] === bytes[shared]) shared++;
    closeTo(shared);
    for (let i = shared; i < bytes.length; i++) {
      byte[count] = bytes[i]!;
      depth[count] = i + 1;
      const isContinuation = bytes[i]! >= 0x80 && bytes[i]! < 0xc0;
      characters[count] = characters[path.at(-1)!]! + (isContinuation ? 0 : 1);
      path.push(count++);
    }
    const node = path.at(-1)!;
    if (token[node] === -1) token[node] = id;
    else doubles.set(node, [...(doubles.get(node) ?? []), id]);
    previous = bytes as Uint8Array<ArrayBuffer>;
    maxDepth = Math.max(maxDepth, bytes.length);
  }
  closeTo(-1);
  return {
    byte: byte.slice(0, count),
    end: end.slice(0, count),
    depth: depth.slice(0, count),
    characters: characters.slice(0, count),
    token: token.slice(0, count),
    doubles,
    maxDepth,
  };
}

/** The node that `bytes[begin..]` leads to, or -1. */
export function findNode(trie: TokenTrie, bytes: ArrayLike<number>, begin: number): number {
  let node = 0;
  for (let i = begin; i < bytes.length; i++) {
    let child = node + 1;
    const end = trie.end[node]!;
    while (child < end && trie.byte[child]! < bytes[i]!) child = trie.end[child]!;
    if (child >= end || trie.byte[child] !== bytes[i]) return -1;
    node = child;
  }
  return node;
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}
