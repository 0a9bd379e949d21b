// From claims about a value to the ways in which it can satisfy them.
//
// Owns the logic of schemas: what a set of claims comes down to (alternatives, each a list of atoms that all hold), which
// alternatives contradict themselves, and whether a given value satisfies claims. Knows nothing of automata beyond asking
// whether a text belongs to one. Every alternative that is left out has no values.

import { isNumberWithin } from './number-language.ts';
import { Refusal, refusingAt } from './refusal.ts';
import {
  type Atom,
  all,
  allKinds,
  any,
  type Claim,
  type Claims,
  claimsKey,
  type Formula,
  type Kind,
  kindOf,
  type Members,
} from './schema-atoms.ts';
import type { SchemaDocument, SchemaNode } from './schema-document.ts';
import { type Demand, demandsOf } from './schema-keywords.ts';
import { includes, lengthOf } from './text-language.ts';

/** One way to satisfy claims: all of these hold, of a value of one of these kinds. */
export interface Alternative {
  readonly kinds: readonly Kind[];
  readonly atoms: readonly Atom[];
}

/** Something in a schema that is not enforced, because no standard says what it demands. */
export interface Note {
  readonly pointer: string;
  readonly reason: string;
}

export interface SchemaLogicOptions {
  /** Refuse what would otherwise be noted. */
  readonly unknown: 'note' | 'refuse';
}

const maxAlternatives = 1000;
/** Branches that are looked at, contradictory ones among them. */
const maxWork = 50_000;
/** Members inside members that are looked at to find a contradiction. */
const lookDepth = 3;

export class SchemaLogic {
  readonly notes: Note[] = [];
  /** The last required member that was found to have no value: where to look when nothing satisfies the whole. */
  culprit: string | undefined;
  readonly #document: SchemaDocument;
  readonly #options: SchemaLogicOptions;
  readonly #demands = new Map<SchemaNode, readonly Demand[]>();
  readonly #alternatives = new Map<string, readonly Alternative[]>();
  #depth = 0;

  constructor(document: SchemaDocument, options: SchemaLogicOptions) {
    this.#document = document;
    this.#options = options;
  }

  /** The ways to satisfy all claims. Refused where there are too many, or a schema refers to itself and nothing else. */
  alternatives(claims: Claims): readonly Alternative[] {
    const key = claimsKey(claims);
    let known = this.#alternatives.get(key);
    if (known === undefined) {
      known = this.#expand(claims);
      // Contradictions are looked for less deeply inside of another search.
      if (this.#depth === 0) this.#alternatives.set(key, known);
    }
    return known;
  }

  /** Whether the value satisfies all claims. */
  satisfies(value: unknown, claims: Claims): boolean {
    return claims.every(({ node, isNegated }) => this.#isTrue(this.#formula(node, isNegated), value));
  }

  /** What the value of a member must satisfy, by its name. */
  memberClaims(name: string, atoms: readonly Atom[]): Claims {
    return atoms.flatMap((atom) => {
      if (atom.type === 'member' && atom.name === name) return atom.value ? [atom.value] : [];
      return atom.type === 'members' ? nodesFor(atom.members, name).map(positive) : [];
    });
  }

  #formula(node: SchemaNode, isNegated: boolean): Formula {
    const demands = this.#demandsAt(node);
    if (node.schema === false) return isNegated ? all() : any();
    return isNegated ? any(...demands.map(({ fails }) => fails())) : all(...demands.map(({ holds }) => holds));
  }

  #demandsAt(node: SchemaNode): readonly Demand[] {
    let demands = this.#demands.get(node);
    if (demands === undefined) {
      const { schema } = node;
      const note = (keyword: string, reason: string) => {
        const pointer = `${node.pointer}/${keyword}`;
        if (this.#options.unknown === 'refuse') throw new Refusal(`${keyword}: ${reason}`, pointer);
        this.notes.push({ pointer, reason });
      };
      const areDisjoint = (a: Claim, b: Claim) => this.#areDisjoint(a, b);
      const document = this.#document;
      demands = typeof schema === 'boolean' ? [] : demandsOf({ document, node, schema, areDisjoint, note });
      this.#demands.set(node, demands);
    }
    return demands;
  }

  #areDisjoint(a: Claim, b: Claim): boolean {
    return this.#isImpossible([a, b]);
  }

  #isImpossible(claims: Claims): boolean {
    if (claims.some(({ node, isNegated }) => node.schema === isNegated)) return true;
    if (this.#depth >= lookDepth) return false;
    this.#depth++;
    try {
      return this.alternatives(claims).length === 0;
    } finally {
      this.#depth--;
    }
  }

  #expand(claims: Claims): Alternative[] {
    const found: Alternative[] = [];
    const isAlone = claims.length === 1;
    const begin = claims.map((claim) => ({ formula: { type: 'claim', claim } as Formula, chain: undefined, isAlone }));
    const state = { kinds: allKinds, atoms: [], done: new Set<string>(), work: { left: maxWork } };
    refusingAt(claims[0]?.node.pointer ?? '', () => this.#unfold(state, begin, [], found));
    return found;
  }

  /** Depth first: `next` is looked at now, `choices` once everything certain is known. */
  #unfold(state: Unfolding, next: Item[], choices: Item[], found: Alternative[]): void {
    const { work } = state;
    if (work.left-- === 0) throw new Refusal(`expected at most ${maxWork} combinations to look at, there are more`);
    let { kinds } = state;
    const atoms = [...state.atoms];
    const done = new Set(state.done);
    const open = [...choices];
    const queue = [...next];
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
      const { formula, chain, isAlone } = item;
      switch (formula.type) {
        case 'atom':
          if (formula.atom.type === 'kinds') {
            const { kinds: allowed } = formula.atom;
            kinds = kinds.filter((kind) => allowed.includes(kind));
            if (kinds.length === 0) return;
          } else if (formula.atom.type === 'closed' && !isAlone) {
            const pointer = `${chain!.node.pointer}/unevaluatedProperties`;
            const reason = 'it can be enforced only where no other schema applies to the same value';
            atoms.push({ type: 'unenforceable', kind: 'object', pointer, reason });
          } else {
            atoms.push(formula.atom);
          }
          break;
        case 'all':
          queue.push(...formula.parts.map((part) => ({ formula: part, chain, isAlone })));
          break;
        case 'any':
          if (formula.parts.length === 0) return;
          if (formula.parts.length === 1) queue.push({ formula: formula.parts[0]!, chain, isAlone });
          else open.push(item);
          break;
        case 'claim': {
          const { node, isNegated } = formula.claim;
          const name = claimsKey([formula.claim]);
          for (let link = chain; link; link = link.above) {
            if (link.name === name) throw new Refusal('the schema refers to itself and to nothing else', node.pointer);
          }
          if (done.has(name)) break;
          done.add(name);
          const inner = this.#formula(node, isNegated);
          // Still alone where a schema is nothing but a reference.
          const staysAlone = isAlone && (chain === undefined || this.#demandsAt(chain.node).length === 1);
          queue.push({ formula: inner, chain: { name, node, above: chain }, isAlone: staysAlone });
          break;
        }
        default:
          unreachable(formula);
      }
    }
    const choice = open.shift();
    if (choice?.formula.type === 'any') {
      for (const part of choice.formula.parts) {
        this.#unfold({ kinds, atoms, done, work }, [{ ...choice, formula: part }], open, found);
      }
      return;
    }
    const alternative = this.#settled(kinds, atoms);
    if (alternative === undefined) return;
    if (found.length >= maxAlternatives) {
      throw new Refusal(`expected at most ${maxAlternatives} combinations of alternatives, there are more`);
    }
    found.push(alternative);
  }

  /** The alternative without what has no values; undefined when nothing is left. */
  #settled(kinds: readonly Kind[], atoms: readonly Atom[]): Alternative | undefined {
    const lists = atoms.flatMap((atom) => (atom.type === 'values' ? [atom.values] : []));
    if (lists.length > 0) {
      const values = lists[0]!.filter(
        (value) => kinds.includes(kindOf(value)) && atoms.every((atom) => this.#holds(atom, value)),
      );
      if (values.length === 0) return undefined;
      return { kinds: [...new Set(values.map(kindOf))], atoms: [{ type: 'values', values }] };
    }
    const possible = kinds.filter((kind) => this.#isPossible(kind, atoms));
    if (possible.length === 0) return undefined;
    for (const atom of atoms) {
      if (atom.type === 'unenforceable' && possible.includes(atom.kind)) throw new Refusal(atom.reason, atom.pointer);
    }
    return { kinds: possible, atoms };
  }

  /** False only where no value of the kind satisfies all atoms. */
  #isPossible(kind: Kind, atoms: readonly Atom[]): boolean {
    switch (kind) {
      case 'null':
        return !excludes(atoms, null);
      case 'boolean':
        return !excludes(atoms, true) || !excludes(atoms, false);
      case 'integer':
      case 'fraction':
        return areOrdered(atoms);
      case 'string':
        return isRange(atoms, 'length');
      case 'array':
        return isRange(atoms, 'item-count');
      case 'object':
        return this.#isObjectPossible(atoms);
      default:
        return unreachable(kind);
    }
  }

  #isObjectPossible(atoms: readonly Atom[]): boolean {
    return atoms.every((atom) => {
      if (atom.type !== 'required' && atom.type !== 'member') return true;
      const { name } = atom;
      if (atoms.some((other) => other.type === 'absent' && other.name === name)) return false;
      if (atom.type === 'member' && !isNameable(name, atoms)) return false;
      const claims = this.memberClaims(name, atoms);
      if (!this.#isImpossible(claims)) return true;
      if (this.#depth === 0) this.culprit = claims[0]!.node.pointer;
      return false;
    });
  }

  #isTrue(formula: Formula, value: unknown): boolean {
    switch (formula.type) {
      case 'atom':
        return this.#holds(formula.atom, value);
      case 'all':
        return formula.parts.every((part) => this.#isTrue(part, value));
      case 'any':
        return formula.parts.some((part) => this.#isTrue(part, value));
      case 'claim':
        return this.#isTrue(this.#formula(formula.claim.node, formula.claim.isNegated), value);
      default:
        return unreachable(formula);
    }
  }

  #holds(atom: Atom, value: unknown): boolean {
    switch (atom.type) {
      case 'kinds':
        return atom.kinds.includes(kindOf(value));
      case 'values':
        return atom.values.some((other) => isSame(other, value));
      case 'other-values':
        return !atom.values.some((other) => isSame(other, value));
      case 'texts':
        return typeof value !== 'string' || includes(atom.texts.language(), value);
      case 'length':
        return typeof value !== 'string' || isBetween(lengthOf(value), atom);
      case 'limit':
        return typeof value !== 'number' || isNumberWithin(value, { part: 'any', limits: [atom.limit], multiples: [] });
      case 'multiple':
        return typeof value !== 'number' || isNumberWithin(value, { part: 'any', limits: [], multiples: [atom.of] });
      case 'unenforceable':
        if (kindOf(value) === atom.kind) throw new Refusal(atom.reason, atom.pointer);
        return true;
      default:
        if (Array.isArray(value)) return this.#holdsForItems(atom, value);
        return kindOf(value) !== 'object' || this.#holdsForMembers(atom, value as Readonly<Record<string, unknown>>);
    }
  }

  #holdsForItems(atom: Atom, items: readonly unknown[]): boolean {
    switch (atom.type) {
      case 'items':
        return items.every((item, i) => {
          const claim = i < atom.prefix.length ? atom.prefix[i] : atom.rest;
          return claim === undefined || this.satisfies(item, [claim]);
        });
      case 'item-count':
        return isBetween(items.length, atom);
      case 'contains':
        return isBetween(items.filter((item) => this.satisfies(item, [atom.item])).length, atom);
      case 'unique':
        return items.every((item, i) => items.slice(0, i).every((other) => !isSame(item, other)));
      default:
        return true;
    }
  }

  #holdsForMembers(atom: Atom, value: Readonly<Record<string, unknown>>): boolean {
    const names = Object.keys(value);
    switch (atom.type) {
      case 'members':
        return names.every((name) => this.satisfies(value[name], nodesFor(atom.members, name).map(positive)));
      case 'required':
        return names.includes(atom.name);
      case 'absent':
        return !names.includes(atom.name);
      case 'member':
        return names.includes(atom.name) && (!atom.value || this.satisfies(value[atom.name], [atom.value]));
      case 'names':
        return names.every((name) => this.satisfies(name, [atom.name]));
      case 'member-count':
        return isBetween(names.length, atom);
      case 'outsider':
        return names.some((name) => !isNamed(atom.members, name));
      default:
        return true;
    }
  }
}

/** The subschemas that a member of this name falls under. */
export function nodesFor(members: Members, name: string): SchemaNode[] {
  const own = members.properties.get(name);
  const matching = members.patterns.filter(({ texts }) => includes(texts.language(), name)).map(({ node }) => node);
  const named = own ? [own, ...matching] : matching;
  return named.length === 0 && members.additional ? [members.additional] : named;
}

/** Whether members beside the named ones may be written: where a schema says so, or none names any. */
export function isOpen(atoms: readonly Atom[]): boolean {
  const all = atoms.flatMap((atom) => (atom.type === 'members' ? [atom.members] : []));
  if (all.some(({ additional }) => additional !== undefined)) return true;
  if (atoms.some(({ type }) => type === 'closed')) return false;
  return all.every(({ properties, patterns }) => properties.size === 0 && patterns.length === 0);
}

/** Whether a member of this name may be written at all. */
export function isNameable(name: string, atoms: readonly Atom[]): boolean {
  if (isOpen(atoms)) return true;
  return atoms.some(
    (atom) =>
      (atom.type === 'members' && isNamed(atom.members, name)) || (atom.type === 'required' && atom.name === name),
  );
}

function isNamed({ properties, patterns }: Members, name: string): boolean {
  return properties.has(name) || patterns.some(({ texts }) => includes(texts.language(), name));
}

interface Unfolding {
  readonly kinds: readonly Kind[];
  readonly atoms: readonly Atom[];
  /** Claims that were unfolded already. */
  readonly done: ReadonlySet<string>;
  /** Counted for all branches together. */
  readonly work: { left: number };
}

interface Item {
  readonly formula: Formula;
  /** The claims that led here. */
  readonly chain: Link | undefined;
  /** Whether the schema this comes from is the only one that applies to the value. */
  readonly isAlone: boolean;
}

interface Link {
  readonly name: string;
  readonly node: SchemaNode;
  readonly above: Link | undefined;
}

function positive(node: SchemaNode): Claim {
  return { node, isNegated: false };
}

function isBetween(count: number, { min, max }: { readonly min: number; readonly max: number }): boolean {
  return count >= min && count <= max;
}

function isRange(atoms: readonly Atom[], type: 'length' | 'item-count'): boolean {
  const { min, max } = rangeOf(atoms, type);
  return min <= max;
}

/** The counts that all atoms of a type allow. */
export function rangeOf(
  atoms: readonly Atom[],
  type: 'length' | 'item-count' | 'member-count',
): { readonly min: number; readonly max: number } {
  let [min, max] = [0, Number.POSITIVE_INFINITY];
  for (const atom of atoms) {
    if (atom.type !== type) continue;
    min = Math.max(min, atom.min);
    max = Math.min(max, atom.max);
  }
  return { min, max };
}

function areOrdered(atoms: readonly Atom[]): boolean {
  const limits = atoms.flatMap((atom) => (atom.type === 'limit' ? [atom.limit] : []));
  const low = Math.max(
    ...limits.filter(({ kind }) => kind === 'at-least' || kind === 'above').map(({ value }) => value),
  );
  const high = Math.min(
    ...limits.filter(({ kind }) => kind === 'at-most' || kind === 'below').map(({ value }) => value),
  );
  return low <= high;
}

function excludes(atoms: readonly Atom[], value: unknown): boolean {
  return atoms.some((atom) => atom.type === 'other-values' && atom.values.includes(value));
}

/** Equality of JSON values: members in any order. */
function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  const [x, y] = [a as Readonly<Record<string, unknown>>, b as Readonly<Record<string, unknown>>];
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && isSame(x[key], y[key]));
}

function unreachable(value: never): never {
  throw new Error(`expected a known case, got ${JSON.stringify(value)}`);
}
