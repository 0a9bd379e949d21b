// Every keyword of JSON Schema, from draft 4 to 2020-12, and what it demands.
//
// Owns the closed table of keywords: each demands something, belongs to another, or only annotates. What is in no draft is
// noted, or refused in a strict schema; what is in one and cannot be enforced is refused where it matters. Each demand
// comes with its negation, which `not`, `if` and `oneOf` are made of. Knows nothing of automata.

import { formatTexts } from './formats.ts';
import { Refusal, refusingAt } from './refusal.ts';
import {
  all,
  always,
  any,
  atom,
  type Claim,
  claim,
  type Formula,
  type Kind,
  kinds,
  type Members,
  never,
  otherKinds,
  type Texts,
} from './schema-atoms.ts';
import { isObject, type JsonObject, type SchemaDocument, type SchemaNode } from './schema-document.ts';
import { outside, textMatching } from './text-language.ts';

/** What a keyword says and, when asked, what it means for it not to hold. */
export interface Demand {
  readonly holds: Formula;
  readonly fails: () => Formula;
}

/** What the table needs to know of the rest of a compilation. */
export interface KeywordContext {
  readonly document: SchemaDocument;
  readonly node: SchemaNode;
  readonly schema: JsonObject;
  /** Whether no value satisfies both. */
  readonly areDisjoint: (a: Claim, b: Claim) => boolean;
  /** Something that is not enforced because no standard says what it demands. */
  readonly note: (keyword: string, what: string) => void;
}

type Handler = (value: unknown, context: KeywordContext) => Demand | undefined;

/** `annotation`: demands nothing. Otherwise the name of the keyword that reads it too. */
type Row = Handler | 'annotation' | { readonly readBy: string };

const numbers: readonly Kind[] = ['integer', 'fraction'];

const keywords = {
  $ref: (value, { document, node }) => {
    if (typeof value !== 'string') throw wrong('$ref', 'a string', value);
    const target = document.resolve(node, value);
    return { holds: claim(target), fails: () => claim(target, true) };
  },
  type: (value) => {
    const list = (Array.isArray(value) ? value : [value]).flatMap((name) => kindsOfType(name));
    return { holds: kinds(...list), fails: () => otherKinds(...list) };
  },
  enum: (value) => {
    if (!Array.isArray(value)) throw wrong('enum', 'an array', value);
    return among(value);
  },
  const: (value) => among([value]),

  minLength: (value) => lengths(count('minLength', value), Infinity),
  maxLength: (value) => lengths(0, count('maxLength', value)),
  pattern: (value, { node }) => {
    if (typeof value !== 'string') throw wrong('pattern', 'a string', value);
    return texts(patternTexts(value, `${node.pointer}/pattern`));
  },
  format: (value, { note }) => {
    if (typeof value !== 'string') throw wrong('format', 'a string', value);
    const range = integerFormats[value];
    if (range) return demandAll([limit('at-least', range[0]), limit('at-most', range[1])]);
    const known = formatTexts(value);
    if (known === 'any') return undefined;
    if (known) return texts(known);
    note('format', `the format ${JSON.stringify(value)} is in no standard`);
    return undefined;
  },

  minimum: (value, { schema }) =>
    limit(schema.exclusiveMinimum === true ? 'above' : 'at-least', finite('minimum', value)),
  maximum: (value, { schema }) =>
    limit(schema.exclusiveMaximum === true ? 'below' : 'at-most', finite('maximum', value)),
  // A boolean in draft 4, where it changes `minimum`.
  exclusiveMinimum: (value) =>
    typeof value === 'boolean' ? undefined : limit('above', finite('exclusiveMinimum', value)),
  exclusiveMaximum: (value) =>
    typeof value === 'boolean' ? undefined : limit('below', finite('exclusiveMaximum', value)),
  multipleOf: (value, context) => {
    const of = finite('multipleOf', value);
    if (of <= 0) throw wrong('multipleOf', 'a number above 0', value);
    return {
      holds: atom({ type: 'multiple', of }),
      fails: () => any(...numbers.map((kind) => cannot(kind, context, 'multipleOf', 'no multiple of a number'))),
    };
  },

  items: (_, context) => items(context),
  prefixItems: (_, context) => ('items' in context.schema ? undefined : items(context)),
  additionalItems: { readBy: 'items' },
  minItems: (value) => itemCounts(count('minItems', value), Infinity),
  maxItems: (value) => itemCounts(0, count('maxItems', value)),
  contains: (_, context) => contains(context),
  minContains: { readBy: 'contains' },
  maxContains: { readBy: 'contains' },
  uniqueItems: (value, context) => {
    if (value !== true) return undefined;
    const pointer = `${context.node.pointer}/uniqueItems`;
    return {
      holds: atom({ type: 'unique', pointer }),
      fails: () => cannot('array', context, 'uniqueItems', 'repeated items'),
    };
  },

  properties: (_, context) => members(context),
  patternProperties: (_, context) => ('properties' in context.schema ? undefined : members(context)),
  additionalProperties: (_, context) =>
    'properties' in context.schema || 'patternProperties' in context.schema ? undefined : members(context),
  required: (value) => {
    if (!isNames(value)) throw wrong('required', 'an array of names', value);
    return {
      holds: all(...value.map((name) => atom({ type: 'required', name }))),
      fails: () => all(kinds('object'), any(...value.map((name) => atom({ type: 'absent', name })))),
    };
  },
  minProperties: (value, { node }) =>
    memberCounts(count('minProperties', value), Infinity, `${node.pointer}/minProperties`),
  maxProperties: (value, { node }) => memberCounts(0, count('maxProperties', value), `${node.pointer}/maxProperties`),
  propertyNames: (_, context) => {
    const name = { node: context.document.child(context.node, 'propertyNames'), isNegated: false };
    return {
      holds: atom({ type: 'names', name }),
      fails: () => cannot('object', context, 'propertyNames', 'a name that breaks a rule'),
    };
  },
  dependentRequired: (value, context) => dependencies('dependentRequired', value, context),
  dependentSchemas: (value, context) => dependencies('dependentSchemas', value, context),
  dependencies: (value, context) => dependencies('dependencies', value, context),
  unevaluatedProperties: (value, context) => {
    if (value === true || (isObject(value) && Object.keys(value).length === 0)) return undefined;
    if (value === false) return { holds: atom({ type: 'closed' }), fails: () => unevaluated(context, 'object') };
    return { holds: unevaluated(context, 'object'), fails: () => unevaluated(context, 'object') };
  },
  unevaluatedItems: (value, context) => {
    if (value === true || (isObject(value) && Object.keys(value).length === 0)) return undefined;
    return { holds: unevaluated(context, 'array'), fails: () => unevaluated(context, 'array') };
  },

  allOf: (value, context) => {
    const parts = subschemas('allOf', value, context);
    return {
      holds: all(...parts.map((node) => claim(node))),
      fails: () => any(...parts.map((node) => claim(node, true))),
    };
  },
  anyOf: (value, context) => {
    const parts = subschemas('anyOf', value, context);
    return {
      holds: any(...parts.map((node) => claim(node))),
      fails: () => all(...parts.map((node) => claim(node, true))),
    };
  },
  oneOf: (value, context) => oneOf(subschemas('oneOf', value, context), context),
  not: (_, { document, node }) => {
    const inner = document.child(node, 'not');
    return { holds: claim(inner, true), fails: () => claim(inner) };
  },
  if: (_, context) => conditional(context),
  // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema.
  then: { readBy: 'if' },
  else: { readBy: 'if' },

  $dynamicRef: (_, context) => dynamic('$dynamicRef', context),
  $recursiveRef: (_, context) => dynamic('$recursiveRef', context),
  $dynamicAnchor: 'annotation',
  $recursiveAnchor: 'annotation',
  $schema: 'annotation',
  $vocabulary: 'annotation',
  $id: 'annotation',
  id: 'annotation',
  $anchor: 'annotation',
  $defs: 'annotation',
  definitions: 'annotation',
  $comment: 'annotation',
  title: 'annotation',
  description: 'annotation',
  default: 'annotation',
  examples: 'annotation',
  deprecated: 'annotation',
  readOnly: 'annotation',
  writeOnly: 'annotation',
  // Of content that is encoded in a string; the standard leaves checking it to the application.
  contentEncoding: 'annotation',
  contentMediaType: 'annotation',
  contentSchema: 'annotation',
} satisfies Record<string, Row>;

/** What the schema at a node demands, keyword by keyword. */
export function demandsOf(context: KeywordContext): Demand[] {
  const { schema, node, note } = context;
  return Object.entries(schema).flatMap(([keyword, value]) => {
    const row: Row | undefined = Object.hasOwn(keywords, keyword)
      ? keywords[keyword as keyof typeof keywords]
      : undefined;
    if (row === undefined) note(keyword, 'it is in no draft of JSON Schema');
    if (typeof row !== 'function') return [];
    const demand = refusingAt(`${node.pointer}/${keyword}`, () => row(value, context));
    return demand ? [demand] : [];
  });
}

/** The texts in which a pattern matches somewhere. */
function patternTexts(pattern: string, pointer: string): Texts {
  return {
    name: `pattern ${pattern}`,
    language: once(() => refusingAt(pointer, () => textMatching(pattern, 'search'))),
  };
}

function outsideOf({ name, language }: Texts): Texts {
  return { name: `not ${name}`, language: once(() => outside(language())) };
}

const integerFormats: Readonly<Record<string, readonly [number, number]>> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  // The largest number below 2^63 that a float64 holds.
  int64: [-(2 ** 63), 2 ** 63 - 1024],
};

function kindsOfType(name: unknown): readonly Kind[] {
  switch (name) {
    case 'null':
    case 'boolean':
    case 'integer':
    case 'string':
    case 'array':
    case 'object':
      return [name];
    case 'number':
      return numbers;
    default:
      throw wrong('type', 'null, boolean, integer, number, string, array or object', name);
  }
}

function among(values: readonly unknown[]): Demand {
  return { holds: atom({ type: 'values', values }), fails: () => atom({ type: 'other-values', values }) };
}

function lengths(min: number, max: number): Demand {
  return {
    holds: atom({ type: 'length', min, max }),
    fails: () =>
      outsideRange(min, max, (low, high) => all(kinds('string'), atom({ type: 'length', min: low, max: high }))),
  };
}

function itemCounts(min: number, max: number): Demand {
  return {
    holds: atom({ type: 'item-count', min, max }),
    fails: () =>
      outsideRange(min, max, (low, high) => all(kinds('array'), atom({ type: 'item-count', min: low, max: high }))),
  };
}

function memberCounts(min: number, max: number, pointer: string): Demand {
  const counted = (low: number, high: number) => atom({ type: 'member-count', min: low, max: high, pointer });
  return {
    holds: counted(min, max),
    fails: () => outsideRange(min, max, (low, high) => all(kinds('object'), counted(low, high))),
  };
}

function outsideRange(min: number, max: number, within: (min: number, max: number) => Formula): Formula {
  return any(...(min > 0 ? [within(0, min - 1)] : []), ...(max < Infinity ? [within(max + 1, Infinity)] : []));
}

function texts(of: Texts): Demand {
  return {
    holds: atom({ type: 'texts', texts: of }),
    fails: () => all(kinds('string'), atom({ type: 'texts', texts: outsideOf(of) })),
  };
}

function limit(kind: 'at-least' | 'above' | 'at-most' | 'below', value: number): Demand {
  const opposite = { 'at-least': 'below', above: 'at-most', 'at-most': 'above', below: 'at-least' } as const;
  return {
    holds: atom({ type: 'limit', limit: { kind, value } }),
    fails: () => all(kinds(...numbers), atom({ type: 'limit', limit: { kind: opposite[kind], value } })),
  };
}

function demandAll(demands: readonly Demand[]): Demand {
  return { holds: all(...demands.map(({ holds }) => holds)), fails: () => any(...demands.map(({ fails }) => fails())) };
}

/** `prefixItems` and `items`; before 2020-12, `items` as an array and `additionalItems`. */
function items({ document, node, schema }: KeywordContext): Demand {
  const isOld = Array.isArray(schema.items);
  const prefixName = isOld ? 'items' : 'prefixItems';
  const restName = isOld ? 'additionalItems' : 'items';
  const list = schema[prefixName] ?? [];
  if (!Array.isArray(list)) throw wrong(prefixName, 'an array of schemas', list);
  const positive = (inner: SchemaNode) => ({ node: inner, isNegated: false });
  const prefix = list.map((_, i) => positive(document.child(node, prefixName, i)));
  const rest = restName in schema ? positive(document.child(node, restName)) : undefined;
  return {
    holds: atom({ type: 'items', prefix, rest }),
    fails: () => {
      const broken = prefix.map((inner, i) =>
        all(
          atom({
            type: 'items',
            prefix: [...prefix.slice(0, i).map(() => undefined), opposite(inner)],
            rest: undefined,
          }),
          atom({ type: 'item-count', min: i + 1, max: Infinity }),
        ),
      );
      if (rest) broken.push(laterItem(prefix.length, opposite(rest), { node, restName }));
      return all(kinds('array'), any(...broken));
    },
  };
}

/** Some item after the first `skipped` ones satisfies the claim. */
function laterItem(skipped: number, item: Claim, place: { node: SchemaNode; restName: string }): Formula {
  if (skipped === 0) return atom({ type: 'contains', item, min: 1, max: Infinity });
  if (item.node.schema === false && item.isNegated) {
    return atom({ type: 'item-count', min: skipped + 1, max: Infinity });
  }
  const pointer = `${place.node.pointer}/${place.restName}`;
  const reason = 'an array whose later items break a rule cannot be enforced';
  return atom({ type: 'unenforceable', kind: 'array', pointer, reason });
}

function contains(context: KeywordContext): Demand {
  const { document, node, schema } = context;
  const item = { node: document.child(node, 'contains'), isNegated: false };
  const min = schema.minContains === undefined ? 1 : count('minContains', schema.minContains);
  const max = schema.maxContains === undefined ? Infinity : count('maxContains', schema.maxContains);
  return {
    holds: atom({ type: 'contains', item, min, max }),
    fails: () =>
      outsideRange(min, max, (low, high) => all(kinds('array'), atom({ type: 'contains', item, min: low, max: high }))),
  };
}

function members(context: KeywordContext): Demand {
  const { document, node, schema } = context;
  const { properties = {}, patternProperties = {}, additionalProperties } = schema;
  if (!isObject(properties)) throw wrong('properties', 'an object', properties);
  if (!isObject(patternProperties)) throw wrong('patternProperties', 'an object', patternProperties);
  const of: Members = {
    properties: new Map(Object.keys(properties).map((name) => [name, document.child(node, 'properties', name)])),
    patterns: Object.keys(patternProperties).map((pattern) => {
      const inner = document.child(node, 'patternProperties', pattern);
      return { texts: patternTexts(pattern, inner.pointer), node: inner };
    }),
    additional: additionalProperties === undefined ? undefined : document.child(node, 'additionalProperties'),
  };
  return {
    holds: atom({ type: 'members', members: of }),
    fails: () => {
      const broken: Formula[] = [...of.properties].map(([name, inner]) =>
        atom({ type: 'member', name, value: { node: inner, isNegated: true } }),
      );
      if (additionalProperties === false) broken.push(atom({ type: 'outsider', members: of }));
      else if (of.additional && additionalProperties !== true) {
        broken.push(cannot('object', context, 'additionalProperties', 'a further member that breaks a rule'));
      }
      if (of.patterns.some(({ node: inner }) => inner.schema !== true)) {
        broken.push(cannot('object', context, 'patternProperties', 'a member that breaks a rule'));
      }
      return all(kinds('object'), any(...broken));
    },
  };
}

function dependencies(keyword: string, value: unknown, { document, node }: KeywordContext): Demand {
  if (!isObject(value)) throw wrong(keyword, 'an object', value);
  const present = (name: string) => atom({ type: 'member', name, value: undefined });
  const demands = Object.entries(value).map(([name, needs]): Demand => {
    const absent = atom({ type: 'absent', name });
    if (Array.isArray(needs)) {
      if (!isNames(needs)) throw wrong(keyword, 'arrays of names', needs);
      return {
        holds: any(absent, all(present(name), ...needs.map((need) => atom({ type: 'required', name: need })))),
        fails: () =>
          all(kinds('object'), present(name), any(...needs.map((need) => atom({ type: 'absent', name: need })))),
      };
    }
    const inner = document.child(node, keyword, name);
    return {
      holds: any(otherKinds('object'), absent, all(present(name), claim(inner))),
      fails: () => all(kinds('object'), present(name), claim(inner, true)),
    };
  });
  return demandAll(demands);
}

/** Exactly one holds: each with the negation of those it could hold together with. */
function oneOf(parts: readonly SchemaNode[], { areDisjoint }: KeywordContext): Demand {
  const positive = (node: SchemaNode) => ({ node, isNegated: false });
  const overlaps = (a: SchemaNode, b: SchemaNode) => a !== b && !areDisjoint(positive(a), positive(b));
  return {
    holds: any(
      ...parts.map((part) =>
        all(claim(part), ...parts.filter((other) => overlaps(part, other)).map((other) => claim(other, true))),
      ),
    ),
    fails: () =>
      any(
        all(...parts.map((part) => claim(part, true))),
        ...parts.flatMap((a, i) =>
          parts
            .slice(i + 1)
            .filter((b) => overlaps(a, b))
            .map((b) => all(claim(a), claim(b))),
        ),
      ),
  };
}

function conditional({ document, node, schema }: KeywordContext): Demand | undefined {
  if (!('then' in schema) && !('else' in schema)) return undefined;
  const condition = document.child(node, 'if');
  const branch = (name: 'then' | 'else', isNegated: boolean): Formula => {
    if (name in schema) return claim(document.child(node, name), isNegated);
    return isNegated ? never : always;
  };
  const chosen = (isNegated: boolean) =>
    any(all(claim(condition), branch('then', isNegated)), all(claim(condition, true), branch('else', isNegated)));
  return { holds: chosen(false), fails: () => chosen(true) };
}

function subschemas(keyword: string, value: unknown, { document, node }: KeywordContext): SchemaNode[] {
  if (!Array.isArray(value) || value.length === 0) throw wrong(keyword, 'a list of schemas', value);
  return value.map((_, i) => document.child(node, keyword, i));
}

function opposite({ node, isNegated }: Claim): Claim {
  return { node, isNegated: !isNegated };
}

/** Values of this kind that break the keyword's rule: what nothing here can make. */
function cannot(kind: Kind, { node }: KeywordContext, keyword: string, what: string): Formula {
  const [pointer, reason] = [`${node.pointer}/${keyword}`, `${what} cannot be enforced`];
  return all(kinds(kind), atom({ type: 'unenforceable', kind, pointer, reason }));
}

function unevaluated({ node }: KeywordContext, kind: 'object' | 'array'): Formula {
  const keyword = kind === 'object' ? 'unevaluatedProperties' : 'unevaluatedItems';
  const reason = kind === 'object' ? 'only false at the top of a value can be enforced' : 'it cannot be enforced';
  return atom({ type: 'unenforceable', kind, pointer: `${node.pointer}/${keyword}`, reason });
}

function dynamic(keyword: string, { node }: KeywordContext): never {
  throw new Refusal(
    'references that depend on the place they are read from cannot be enforced',
    `${node.pointer}/${keyword}`,
  );
}

function count(keyword: string, value: unknown): number {
  if (!Number.isInteger(value) || (value as number) < 0) throw wrong(keyword, 'an integer from 0', value);
  return value as number;
}

function finite(keyword: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw wrong(keyword, 'a number', value);
  return value;
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string');
}

function wrong(keyword: string, expected: string, value: unknown): Refusal {
  return new Refusal(`${keyword}: expected ${expected}, got ${JSON.stringify(value)}`);
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
