// Arrays under demands.
//
// Owns the counting of items: how many there are, which position has which schema, how many satisfy `contains`, and which
// of a few possible ones were used. All of it becomes states of one rule. Knows items only as rules and literals.

import type { JsonStyle } from './json-rules.ts';
import { Refusal } from './refusal.ts';
import type { Rule, RuleBuilder } from './rule.ts';
import type { Atom, Claim, Claims } from './schema-atoms.ts';
import { rangeOf } from './schema-logic.ts';

export interface ArrayParts {
  readonly style: JsonStyle;
  rule(claims: Claims): Rule;
  /** The texts of all values, where they are few; undefined where they are not. */
  literals(claims: Claims): readonly string[] | undefined;
}

/** Items that are counted; longer arrays end here. */
const longest = 4096;
/** Different items that are kept apart under `uniqueItems`: every set of them is a state. */
const maxUnique = 10;
const maxStates = 50_000;

/** Where an array stands: how many items, how many of each `contains`, which unique literals were used (bits). */
interface Count {
  readonly items: number;
  readonly contained: readonly number[];
  readonly used: number;
}

export function appendArray(
  r: RuleBuilder,
  start: number,
  accept: number,
  atoms: readonly Atom[],
  parts: ArrayParts,
): void {
  const range = rangeOf(atoms, 'item-count');
  const wanted = atoms.filter((atom) => atom.type === 'contains');
  const max = Math.min(range.max, longest);
  const prefix = atoms.reduce((most, atom) => (atom.type === 'items' ? Math.max(most, atom.prefix.length) : most), 0);
  if (range.min > longest) throw new Refusal(`expected at most ${longest} items at least, got ${range.min}`);
  const unique = atoms.find((atom) => atom.type === 'unique');
  const literals = unique && max > 1 ? uniqueLiterals(atoms, prefix, unique.pointer, parts) : undefined;

  // Past this many items, one more makes no difference.
  const lastCount = Math.max(prefix, range.min, range.max === Number.POSITIVE_INFINITY ? 0 : max);
  const states = new Map<string, number>();
  const pending: { count: Count; state: number }[] = [];
  const stateFor = (count: Count): number => {
    const key = `${count.items};${count.contained.join()};${count.used}`;
    let state = states.get(key);
    if (state === undefined) {
      if (states.size >= maxStates)
        throw new Refusal(`expected at most ${maxStates} states of an array, it needs more`);
      state = r.state();
      states.set(key, state);
      pending.push({ count, state });
    }
    return state;
  };
  const begin = { items: 0, contained: wanted.map(() => 0), used: 0 };
  r.text(start, '[', stateFor(begin));
  for (let entry = pending.pop(); entry; entry = pending.pop()) {
    const { count, state } = entry;
    const isEnough =
      count.items >= range.min && wanted.every(({ min, max: most }, k) => isWithin(count.contained[k]!, min, most));
    if (isEnough) r.text(state, ']', accept);
    if (count.items >= max && range.max !== Number.POSITIVE_INFINITY) continue;
    // Only before the first item there is no separator.
    const at = count.items === 0 ? state : r.text(state, parts.style.item);
    const items = Math.min(count.items + 1, lastCount + 1);
    const claims = itemClaims(atoms, count.items);
    if (literals) {
      for (const [bit, literal] of literals.entries()) {
        if (count.used & (1 << bit) || !(parts.literals(claims) ?? []).includes(literal)) continue;
        r.text(at, literal, stateFor({ ...count, items, used: count.used | (1 << bit) }));
      }
      continue;
    }
    for (const { contained, extra } of choices(count.contained, wanted)) {
      r.call(at, parts.rule([...claims, ...extra]), stateFor({ ...count, items, contained }));
    }
  }
}

function itemClaims(atoms: readonly Atom[], index: number): Claims {
  return atoms.flatMap((atom) => {
    if (atom.type !== 'items') return [];
    const claim = index < atom.prefix.length ? atom.prefix[index] : atom.rest;
    return claim ? [claim] : [];
  });
}

/** What the next item may be: counted by some of the `contains` and not by the others. */
function choices(
  contained: readonly number[],
  wanted: readonly { readonly item: Claim; readonly min: number; readonly max: number }[],
): { contained: readonly number[]; extra: Claims }[] {
  return wanted.reduce<{ contained: readonly number[]; extra: Claims }[]>(
    (options, { item, min, max }, k) =>
      options.flatMap((option) => {
        const now = option.contained[k]!;
        const counted = {
          contained: option.contained.with(k, Math.min(now + 1, Math.max(min, finite(max)))),
          extra: [...option.extra, item],
        };
        // Where there is no upper bound, an item that is not counted may satisfy the claim all the same.
        if (max === Number.POSITIVE_INFINITY) return now >= min ? [option] : [option, counted];
        const other = { ...option, extra: [...option.extra, { ...item, isNegated: !item.isNegated }] };
        return now < max ? [other, counted] : [other];
      }),
    [{ contained, extra: [] }],
  );
}

function uniqueLiterals(atoms: readonly Atom[], prefix: number, pointer: string, parts: ArrayParts): readonly string[] {
  const reason = `unique items can be enforced only among at most ${maxUnique} values`;
  if (atoms.some(({ type }) => type === 'contains'))
    throw new Refusal('unique items cannot be enforced beside contains', pointer);
  const all = new Set<string>();
  for (let i = 0; i <= prefix; i++) {
    const literals = parts.literals(itemClaims(atoms, i));
    if (literals === undefined) throw new Refusal(reason, pointer);
    for (const literal of literals) all.add(literal);
  }
  if (all.size > maxUnique) throw new Refusal(reason, pointer);
  return [...all];
}

function isWithin(count: number, min: number, max: number): boolean {
  return count >= min && count <= max;
}

function finite(count: number): number {
  return count === Number.POSITIVE_INFINITY ? 0 : count;
}
