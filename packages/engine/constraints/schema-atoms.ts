// What schemas come down to: single demands on a value.
//
// Owns the atoms that keywords are translated to, and formulas over them. A demand concerns one kind of value and says
// nothing about the others, as in JSON Schema. Knows nothing of how a demand is written in a schema or enforced.

import type { Dfa } from './dfa.ts';
import type { Limit } from './number-language.ts';
import type { SchemaNode } from './schema-document.ts';

/** The kinds of JSON values. Numbers are two: `integer`, whatever its spelling, and `fraction`, all others. */
export type Kind = 'null' | 'boolean' | 'integer' | 'fraction' | 'string' | 'array' | 'object';

export const allKinds: readonly Kind[] = ['null', 'boolean', 'integer', 'fraction', 'string', 'array', 'object'];

/** "Satisfies the schema", or "does not". */
export interface Claim {
  readonly node: SchemaNode;
  readonly isNegated: boolean;
}

/** Claims about one value, all of which hold. None: any value. */
export type Claims = readonly Claim[];

export interface Texts {
  /** Equal names mean equal languages. */
  readonly name: string;
  readonly language: () => Dfa;
}

/** What `properties`, `patternProperties` and `additionalProperties` of one schema say together. */
export interface Members {
  readonly properties: ReadonlyMap<string, SchemaNode>;
  readonly patterns: readonly { readonly texts: Texts; readonly node: SchemaNode }[];
  /** undefined: the schema does not say. */
  readonly additional: SchemaNode | undefined;
}

export type Atom =
  | { readonly type: 'kinds'; readonly kinds: readonly Kind[] }
  | { readonly type: 'values'; readonly values: readonly unknown[] }
  | { readonly type: 'other-values'; readonly values: readonly unknown[] }
  // Strings.
  | { readonly type: 'texts'; readonly texts: Texts }
  | { readonly type: 'length'; readonly min: number; readonly max: number }
  // Numbers.
  | { readonly type: 'limit'; readonly limit: Limit }
  | { readonly type: 'multiple'; readonly of: number }
  // Arrays.
  /** Item i satisfies prefix[i], and the rest of the items the rest; undefined: nothing is asked. */
  | { readonly type: 'items'; readonly prefix: readonly (Claim | undefined)[]; readonly rest: Claim | undefined }
  | { readonly type: 'item-count'; readonly min: number; readonly max: number }
  | { readonly type: 'contains'; readonly item: Claim; readonly min: number; readonly max: number }
  | { readonly type: 'unique'; readonly pointer: string }
  // Objects.
  | { readonly type: 'members'; readonly members: Members }
  | { readonly type: 'required'; readonly name: string }
  | { readonly type: 'absent'; readonly name: string }
  /** The member is there, with such a value. Unlike `required`, it names no member that the schema does not name. */
  | { readonly type: 'member'; readonly name: string; readonly value: Claim | undefined }
  | { readonly type: 'names'; readonly name: Claim }
  | { readonly type: 'member-count'; readonly min: number; readonly max: number; readonly pointer: string }
  /** Some member is named by neither properties nor patterns. */
  | { readonly type: 'outsider'; readonly members: Members }
  /** No member but those that some schema names. */
  | { readonly type: 'closed' }
  /** A demand on values of this kind that nothing here can enforce. */
  | { readonly type: 'unenforceable'; readonly kind: Kind; readonly pointer: string; readonly reason: string };

export type Formula =
  | { readonly type: 'atom'; readonly atom: Atom }
  | { readonly type: 'all' | 'any'; readonly parts: readonly Formula[] }
  | { readonly type: 'claim'; readonly claim: Claim };

export const always: Formula = { type: 'all', parts: [] };
export const never: Formula = { type: 'any', parts: [] };

export function atom(value: Atom): Formula {
  return { type: 'atom', atom: value };
}

export function claim(node: SchemaNode, isNegated = false): Formula {
  return { type: 'claim', claim: { node, isNegated } };
}

export function all(...parts: readonly Formula[]): Formula {
  return { type: 'all', parts };
}

export function any(...parts: readonly Formula[]): Formula {
  return { type: 'any', parts };
}

export function kinds(...list: readonly Kind[]): Formula {
  return atom({ type: 'kinds', kinds: list });
}

export function otherKinds(...list: readonly Kind[]): Formula {
  return kinds(...allKinds.filter((kind) => !list.includes(kind)));
}

/** Equal keys mean the same claims, in whatever order. */
export function claimsKey(claims: Claims): string {
  const names = claims.map(({ node, isNegated }) => `${isNegated ? '!' : ''}${node.id}`);
  return [...new Set(names)].sort().join('&');
}

export function kindOf(value: unknown): Kind {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  switch (typeof value) {
    case 'boolean':
      return 'boolean';
    case 'number':
      return Number.isInteger(value) ? 'integer' : 'fraction';
    case 'string':
      return 'string';
    default:
      return 'object';
  }
}
