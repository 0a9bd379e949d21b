// Sets of Unicode code points.
//
// Owns their algebra and the classes of regular expressions. A set is flat, sorted, disjoint ranges: first, last, first,
// last. Invariant: surrogates (U+D800 to U+DFFF) are in no set, because no text that we write holds one alone.

export type CodePoints = readonly number[];

export const allCodePoints: CodePoints = [0, 0xd7ff, 0xe000, 0x10ffff];
export const digits: CodePoints = [0x30, 0x39];
export const wordCharacters: CodePoints = [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a];
export const lineTerminators: CodePoints = [0x0a, 0x0a, 0x0d, 0x0d, 0x2028, 0x2029];
/** `\s` of ECMAScript. */
export const spaces: CodePoints = [
  ...[0x09, 0x0d, 0x20, 0x20, 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a, 0x2028, 0x2029, 0x202f, 0x202f],
  ...[0x205f, 0x205f, 0x3000, 0x3000, 0xfeff, 0xfeff],
];

export function union(...sets: readonly CodePoints[]): CodePoints {
  const ranges = sets.flatMap((set) => pairs(set)).sort((a, b) => a[0] - b[0]);
  const result: number[] = [];
  for (const [low, high] of ranges) {
    const last = result.length - 1;
    if (last >= 0 && low <= result[last]! + 1) result[last] = Math.max(result[last]!, high);
    else result.push(low, high);
  }
  return withoutSurrogates(result);
}

export function negate(set: CodePoints): CodePoints {
  const result: number[] = [];
  let low = 0;
  for (const [from, to] of pairs(set)) {
    if (from > low) result.push(low, from - 1);
    low = to + 1;
  }
  if (low <= 0x10ffff) result.push(low, 0x10ffff);
  return withoutSurrogates(result);
}

export function intersection(a: CodePoints, b: CodePoints): CodePoints {
  return negate(union(negate(a), negate(b)));
}

export function isSame(a: CodePoints, b: CodePoints): boolean {
  return a.length === b.length && a.every((x, i) => x === b[i]);
}

/** The set of `\p{name}`, as this machine's JavaScript knows it; undefined when it knows no such property. */
export function property(name: string): CodePoints | undefined {
  let runs: RegExp;
  try {
    runs = new RegExp(`\\p{${name}}+`, 'gu');
  } catch {
    return undefined;
  }
  const result: number[] = [];
  // In pieces: one string of all code points would take megabytes for one question.
  for (let plane = 0; plane < 0x110000; plane += 0x4000) {
    let text = '';
    for (let point = plane; point < plane + 0x4000; point++) {
      text += point >= 0xd800 && point <= 0xdfff ? '\0' : String.fromCodePoint(point);
    }
    for (const match of text.matchAll(runs)) {
      for (const character of match[0]) {
        const point = character.codePointAt(0)!;
        if (point === 0 && plane !== 0) continue; // stands for a surrogate
        if (result.at(-1) === point - 1) result[result.length - 1] = point;
        else result.push(point, point);
      }
    }
  }
  return withoutSurrogates(result);
}

function withoutSurrogates(set: readonly number[]): CodePoints {
  return pairs(set).flatMap(([low, high]) => {
    if (high < 0xd800 || low > 0xdfff) return [low, high];
    return [...(low < 0xd800 ? [low, 0xd7ff] : []), ...(high > 0xdfff ? [0xe000, high] : [])];
  });
}

function pairs(set: readonly number[]): [number, number][] {
  return Array.from({ length: set.length / 2 }, (_, i) => [set[2 * i]!, set[2 * i + 1]!]);
}
