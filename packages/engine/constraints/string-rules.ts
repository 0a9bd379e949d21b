// Strings under demands, as rules.
//
// Owns the way from atoms about texts to one automaton, and its spelling: quoted as JSON, or as it stands where a tool call
// carries a string as it is. Equal demands give the same rule, so that their masks are computed once. Lengths are exact up
// to a limit, which also ends texts that may be longer: 65,535 characters, or as many as a pattern's automaton, multiplied by
// the length, leaves room for.

import { type Dfa, isEmpty, stateCount } from './dfa.ts';
import { stringRule } from './json-rules.ts';
import type { Rule } from './rule.ts';
import type { Atom } from './schema-atoms.ts';
import { rangeOf } from './schema-logic.ts';
import { anyText, maxStates, outside, textAmong, textInAll, textOfLength } from './text-language.ts';
import { type Spelling, spell } from './text-spelling.ts';

/** Characters of a string whose length is limited; one with a longer limit ends here. */
const longestAlone = 65_535;

/** Where strings stand as they are: those that can, and their rule, shared by all schemas. */
export interface RawStrings {
  readonly texts: Dfa;
  readonly any: Rule;
}

export class StringRules {
  readonly #rules = new Map<string, Rule>();
  readonly #raw: RawStrings | undefined;

  /** undefined: no string is written raw. */
  constructor(raw: RawStrings | undefined) {
    this.#raw = raw;
  }

  /** Reads the strings that satisfy all atoms; undefined when there are none. */
  rule(atoms: readonly Atom[], spelling: Spelling): Rule | undefined {
    const { min, max } = rangeOf(atoms, 'length');
    const texts = atoms.flatMap((atom) => (atom.type === 'texts' ? [atom.texts] : []));
    const key = JSON.stringify([spelling, min, max, texts.map(({ name }) => name).sort(), excludedFrom(atoms)]);
    let rule = this.#rules.get(key);
    if (rule === undefined) {
      rule = this.ruleFor(languageOf(atoms), spelling);
      this.#rules.set(key, rule);
    }
    return isEmpty(rule.dfa) ? undefined : rule;
  }

  /** Reads the texts of a language, the names of members among them. */
  ruleFor(language: Dfa, spelling: Spelling): Rule {
    if (language === anyText && spelling === 'json') return stringRule;
    if (language === anyText && this.#raw) return this.#raw.any;
    const whole = spelling === 'raw' && this.#raw ? textInAll([language, this.#raw.texts]) : language;
    return isEmpty(whole) ? { dfa: whole, calls: [], runs: undefined, isCharacter: false } : spell(whole, spelling);
  }
}

/** The strings that satisfy all atoms. */
export function languageOf(atoms: readonly Atom[]): Dfa {
  const listed = atoms.find((atom) => atom.type === 'values');
  if (listed) return textAmong(listed.values.filter((value) => typeof value === 'string'));
  const { min, max } = rangeOf(atoms, 'length');
  const languages = atoms.flatMap((atom) => (atom.type === 'texts' ? [atom.texts.language()] : []));
  const excluded = excludedFrom(atoms);
  if (excluded.length > 0) languages.push(outside(textAmong(excluded)));
  if (min === 0 && max === Number.POSITIVE_INFINITY) return textInAll(languages);
  if (languages.length === 0) return textOfLength(min, max, longestAlone);
  const language = textInAll(languages);
  return textInAll([language, textOfLength(min, max, Math.floor(maxStates / stateCount(language)))]);
}

function excludedFrom(atoms: readonly Atom[]): string[] {
  const values = atoms.flatMap((atom) => (atom.type === 'other-values' ? atom.values : []));
  return values.filter((value) => typeof value === 'string');
}
