// Languages of text: automata whose symbols are code points.
//
// Owns the ways to say which texts are meant (a pattern, a list of words, a length, the absence of a marker) and their
// combination. Knows nothing of bytes or of JSON's escapes. Every function is refused past a number of states, so that a
// small pattern cannot ask for a large automaton.

import { allCodePoints } from './code-points.ts';
import { accepts, complement, type Dfa, explore, intersect } from './dfa.ts';
import { minimize } from './minimize.ts';
import { Nfa } from './nfa.ts';
import { Refusal } from './refusal.ts';
import { parseRegularExpression, type RegularExpression } from './regular-expression.ts';

/** States of one automaton, after which a pattern is refused. */
export const maxStates = 20_000;
/** States before determinization: what counted repetitions unfold to. */
const maxUnfolded = 60_000;

/** Texts in which the pattern matches somewhere (`search`, as JSON Schema means it) or as a whole. */
export function textMatching(pattern: string, extent: 'search' | 'whole'): Dfa {
  const tree = parseRegularExpression(pattern);
  const nfa = new Nfa();
  const start = nfa.state();
  const accept = nfa.state();
  if (extent === 'search') {
    anything(nfa, start);
    anything(nfa, accept);
  }
  append(nfa, tree, start, accept, pattern);
  return minimize(nfa.determinize(start, accept, maxStates));
}

export function textAmong(words: readonly string[]): Dfa {
  const nfa = new Nfa();
  const start = nfa.state();
  const accept = nfa.state();
  for (const word of words) nfa.word(start, codePointsOf(word), accept);
  return minimize(nfa.determinize(start, accept, maxStates));
}

/** Texts of `min` to `max` code points; max may be Infinity. Never longer than `longest`, and refused where min is. */
export function textOfLength(min: number, max: number, longest: number): Dfa {
  if (min > longest) throw new Refusal(`expected a least length up to ${longest}, got ${min}`);
  const last = Number.isFinite(max) ? Math.min(max, longest) : min;
  return explore<number>(
    {
      start: 0,
      key: (length) => length,
      *edges(length) {
        if (length === last && Number.isFinite(max)) return;
        const next = Math.min(length + 1, last);
        for (let i = 0; i < allCodePoints.length; i += 2) yield [allCodePoints[i]!, allCodePoints[i + 1]!, next];
      },
      isAccepting: (length) => length >= min,
    },
    longest + 2,
  );
}

/** Texts that do not contain `marker`. */
export function textWithout(marker: string): Dfa {
  const nfa = new Nfa();
  const start = nfa.state();
  const accept = nfa.state();
  anything(nfa, start);
  anything(nfa, accept);
  nfa.word(start, codePointsOf(marker), accept);
  return outside(nfa.determinize(start, accept, maxStates));
}

/** Any text at all. */
export const anyText: Dfa = textOfLength(0, Number.POSITIVE_INFINITY, 0);

export function outside(language: Dfa): Dfa {
  return complement(language, allCodePoints);
}

/** Texts that belong to all of them; one at least. */
export function textInAll(languages: readonly Dfa[]): Dfa {
  const special = languages.filter((language) => language !== anyText);
  return special.length === 0 ? anyText : special.reduce((a, b) => minimize(intersect(a, b, maxStates)));
}

export function includes(language: Dfa, text: string): boolean {
  return accepts(language, codePointsOf(text));
}

export function* codePointsOf(text: string): Generator<number> {
  for (const character of text) yield character.codePointAt(0)!;
}

/** How many code points the text has, as JSON Schema counts. */
export function lengthOf(text: string): number {
  return [...text].length;
}

function anything(nfa: Nfa, state: number): void {
  for (let i = 0; i < allCodePoints.length; i += 2) nfa.edge(state, allCodePoints[i]!, allCodePoints[i + 1]!, state);
}

/** Thompson 1968. */
function append(nfa: Nfa, tree: RegularExpression, source: number, target: number, pattern: string): void {
  if (nfa.size > maxUnfolded) {
    throw new Refusal(`pattern ${JSON.stringify(pattern)}: expected at most ${maxUnfolded} states, it needs more`);
  }
  switch (tree.type) {
    case 'set':
      for (let i = 0; i < tree.set.length; i += 2) nfa.edge(source, tree.set[i]!, tree.set[i + 1]!, target);
      return;
    case 'sequence': {
      let at = source;
      for (const part of tree.parts) {
        const next = nfa.state();
        append(nfa, part, at, next, pattern);
        at = next;
      }
      nfa.silent(at, target);
      return;
    }
    case 'alternatives':
      for (const option of tree.options) {
        // A state of its own: the option may loop at its start.
        const begin = nfa.state();
        nfa.silent(source, begin);
        append(nfa, option, begin, target, pattern);
      }
      return;
    case 'repeat': {
      let at = nfa.state();
      nfa.silent(source, at);
      for (let i = 0; i < tree.min; i++) {
        const next = nfa.state();
        append(nfa, tree.part, at, next, pattern);
        at = next;
      }
      if (tree.max === Infinity) {
        const loop = nfa.state();
        nfa.silent(at, loop);
        append(nfa, tree.part, loop, loop, pattern);
        nfa.silent(loop, target);
        return;
      }
      for (let i = tree.min; i < tree.max; i++) {
        nfa.silent(at, target);
        const next = nfa.state();
        append(nfa, tree.part, at, next, pattern);
        at = next;
      }
      nfa.silent(at, target);
      return;
    }
    case 'start':
      nfa.silent(source, target, 'at-start');
      return;
    case 'end':
      nfa.silent(source, target, 'at-end');
      return;
    default:
      unreachable(tree);
  }
}

function unreachable(value: never): never {
  throw new Error(`expected a known case, got ${JSON.stringify(value)}`);
}
