// Objects under demands.
//
// Owns the order and the choice of members: the named ones in the order of the schema, each at most once, the required ones
// always; then any others that the schema allows. Counts of members and "one that is not named" become states. How a
// member is written (as JSON, or as a parameter of a tool call) is the caller's.

import { type Dfa, isEmpty } from './dfa.ts';
import { Refusal } from './refusal.ts';
import type { RuleBuilder } from './rule.ts';
import type { Atom, Claims, Members } from './schema-atoms.ts';
import { isNameable, isOpen, rangeOf, type SchemaLogic } from './schema-logic.ts';
import { languageOf } from './string-rules.ts';
import { anyText, includes, outside, textAmong, textInAll } from './text-language.ts';

/** How an object is written. */
export interface MemberSyntax {
  readonly open: string;
  readonly close: string;
  readonly separator: string;
  /** Reads the member from `at` to `next`. */
  member(r: RuleBuilder, at: number, name: string, value: Claims, next: number): void;
  /** Reads a member whose name is one of a language. */
  further(r: RuleBuilder, at: number, names: Dfa, value: Claims, next: number): void;
  /** The names that this syntax can spell. */
  readonly names: Dfa;
  /** Those that may be used where no schema names them. */
  readonly furtherNames: Dfa;
}

/** Members whose names are no longer told apart one by one. */
interface Further {
  readonly names: Dfa;
  readonly value: Claims;
  /** Bits of the outsiders that such a member is. */
  readonly outsiders: number;
}

interface Named {
  readonly name: string;
  readonly isRequired: boolean;
  readonly value: Claims;
  readonly outsiders: number;
}

const maxPatterns = 5;
const maxStates = 50_000;

/** Where an object stands: the next named member, how many there are already, and which outsiders are still missing. */
interface Count {
  readonly next: number;
  readonly isEmpty: boolean;
  /** Members that certainly have different names, as far as a least number is asked for. */
  readonly distinct: number;
  readonly hasFurther: boolean;
  readonly members: number;
  readonly missing: number;
}

export function appendObject(
  r: RuleBuilder,
  start: number,
  accept: number,
  atoms: readonly Atom[],
  syntax: MemberSyntax,
  logic: SchemaLogic,
): void {
  const outsiders = atoms.flatMap((atom) => (atom.type === 'outsider' ? [atom.members] : []));
  if (outsiders.length > 4) throw new Refusal('expected at most 4 schemas of which a member must be outside');
  const named = namedMembers(atoms, outsiders, syntax, logic);
  if (named === undefined) return;
  const further = furtherMembers(atoms, named, outsiders, syntax, logic);
  const { min, max } = rangeOf(atoms, 'member-count');
  const counted = atoms.find((atom) => atom.type === 'member-count');
  if (min > named.length + (further.length > 0 ? 1 : 0) && further.length > 0) {
    throw new Refusal('that many members with different names cannot be enforced', counted?.pointer);
  }

  const states = new Map<string, number>();
  const pending: { count: Count; state: number }[] = [];
  const stateFor = (count: Count): number => {
    const key = Object.values(count).join();
    let state = states.get(key);
    if (state === undefined) {
      if (states.size >= maxStates)
        throw new Refusal(`expected at most ${maxStates} states of an object, it needs more`);
      state = r.state();
      states.set(key, state);
      pending.push({ count, state });
    }
    return state;
  };
  /** A member begins in one place, with or without a separator before it. */
  const beginnings = new Map<string, number>();
  const memberAt = (from: number, isFirst: boolean, name: string, target: number, read: (at: number) => void) => {
    const key = `${target} ${name}`;
    let begin = beginnings.get(key);
    if (begin === undefined) {
      begin = r.state();
      beginnings.set(key, begin);
      read(begin);
    }
    r.text(from, isFirst ? '' : syntax.separator, begin);
  };
  const withMember = (count: Count, isFurther: boolean, found: number): Count => ({
    ...count,
    isEmpty: false,
    hasFurther: count.hasFurther || (isFurther && min > 0),
    distinct: Math.min(min, count.distinct + (isFurther && count.hasFurther ? 0 : 1)),
    members: max === Number.POSITIVE_INFINITY ? 0 : count.members + 1,
    missing: count.missing & ~found,
  });
  const missing = (1 << outsiders.length) - 1;
  const begin = { next: 0, isEmpty: true, distinct: 0, hasFurther: false, members: 0, missing };
  r.text(start, syntax.open, stateFor(begin));
  for (let entry = pending.pop(); entry; entry = pending.pop()) {
    const { count, state } = entry;
    const hasRoom = max === Number.POSITIVE_INFINITY || count.members < max;
    const member = named[count.next];
    if (member) {
      const after = { ...count, next: count.next + 1 };
      if (!member.isRequired) r.silent(state, stateFor(after));
      if (!hasRoom) continue;
      const next = stateFor(withMember(after, false, member.outsiders));
      const { name, value } = member;
      memberAt(state, count.isEmpty, `named ${name}`, next, (at) => syntax.member(r, at, name, value, next));
      continue;
    }
    if (count.distinct >= min && count.missing === 0) r.text(state, syntax.close, accept);
    for (const [i, { names, value, outsiders: found }] of hasRoom ? further.entries() : []) {
      const next = stateFor(withMember(count, true, found));
      memberAt(state, count.isEmpty, `further ${i}`, next, (at) => syntax.further(r, at, names, value, next));
    }
  }
}

/** The members that schemas name, in the order in which they do; undefined where a required one cannot be written. */
function namedMembers(
  atoms: readonly Atom[],
  outsiders: readonly Members[],
  syntax: MemberSyntax,
  logic: SchemaLogic,
): Named[] | undefined {
  const required = new Set(
    atoms.flatMap((atom) => (atom.type === 'required' || atom.type === 'member' ? [atom.name] : [])),
  );
  const names = new Set(atoms.flatMap((atom) => (atom.type === 'members' ? [...atom.members.properties.keys()] : [])));
  const isAbsent = (name: string) => atoms.some((atom) => atom.type === 'absent' && atom.name === name);
  const isNamedRight = (name: string) =>
    atoms.every((atom) => atom.type !== 'names' || logic.satisfies(name, [atom.name]));
  const members: Named[] = [];
  for (const name of names.union(required)) {
    const isRequired = required.has(name);
    if (!isAbsent(name) && isNamedRight(name) && isNameable(name, atoms) && includes(syntax.names, name)) {
      const bits = outsiders.reduce((all, outsider, i) => all | (isOutside(outsider, name) ? 1 << i : 0), 0);
      members.push({ name, isRequired, value: logic.memberClaims(name, atoms), outsiders: bits });
    } else if (isRequired) {
      return undefined;
    }
  }
  return members;
}

/** All other members that may be written, by what their names have in common: the patterns that match. */
function furtherMembers(
  atoms: readonly Atom[],
  named: readonly Named[],
  outsiders: readonly Members[],
  syntax: MemberSyntax,
  logic: SchemaLogic,
): Further[] {
  const all = atoms.flatMap((atom) => (atom.type === 'members' ? [atom.members] : []));
  const patterns = [
    ...new Map(all.flatMap((members) => members.patterns.map(({ texts }) => [texts.name, texts] as const))).values(),
  ];
  if (patterns.length > maxPatterns) {
    throw new Refusal(`expected at most ${maxPatterns} patterns for the names of one object, got ${patterns.length}`);
  }
  const taken = [
    ...named.map(({ name }) => name),
    ...all.flatMap(({ properties }) => [...properties.keys()]),
    ...atoms.flatMap((atom) => (atom.type === 'absent' ? [atom.name] : [])),
  ];
  const limits = atoms.flatMap((atom) => (atom.type === 'names' ? [textsSatisfying([atom.name], logic)] : []));
  const base = [...(taken.length > 0 ? [outside(textAmong(taken))] : []), syntax.furtherNames, ...limits];
  const further: Further[] = [];
  for (let subset = 0; subset < 1 << patterns.length; subset++) {
    const matching = new Set(patterns.filter((_, i) => subset & (1 << i)).map(({ name }) => name));
    if (matching.size === 0 && !isOpen(atoms)) continue;
    const value = all.flatMap((members) => {
      const nodes = members.patterns.filter(({ texts }) => matching.has(texts.name)).map(({ node }) => node);
      return nodes.length === 0 && members.additional ? [members.additional] : nodes;
    });
    if (value.some(({ schema }) => schema === false)) continue;
    const names = textInAll([
      ...base,
      ...patterns.map(({ name, language }) => (matching.has(name) ? language() : outside(language()))),
      anyText,
    ]);
    const claims = value.map((node) => ({ node, isNegated: false }));
    further.push(...byOutsiders(names, claims, outsiders));
  }
  return further;
}

/** The same names once for every set of schemas that they are all outside of. */
function byOutsiders(names: Dfa, value: Claims, outsiders: readonly Members[]): Further[] {
  const further: Further[] = [];
  for (let subset = 0; subset < 1 << outsiders.length; subset++) {
    const chosen = outsiders.filter((_, i) => subset & (1 << i));
    const language = chosen.length === 0 ? names : textInAll([names, ...chosen.map(namesOutside)]);
    if (!isEmpty(language)) further.push({ names: language, value, outsiders: subset });
  }
  return further;
}

function isOutside({ properties, patterns }: Members, name: string): boolean {
  return !properties.has(name) && !patterns.some(({ texts }) => includes(texts.language(), name));
}

function namesOutside({ properties, patterns }: Members): Dfa {
  const named = [...properties.keys()];
  return textInAll([
    anyText,
    ...(named.length > 0 ? [outside(textAmong(named))] : []),
    ...patterns.map(({ texts }) => outside(texts.language())),
  ]);
}

/** The strings that satisfy the claims. */
function textsSatisfying(claims: Claims, logic: SchemaLogic): Dfa {
  const languages = logic
    .alternatives(claims)
    .filter(({ kinds }) => kinds.includes('string'))
    .map(({ atoms }) => languageOf(atoms));
  // The union, by De Morgan.
  return languages.length === 1 ? languages[0]! : outside(textInAll([anyText, ...languages.map(outside)]));
}
