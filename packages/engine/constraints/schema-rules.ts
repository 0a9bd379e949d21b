// Schemas to rules.
//
// Owns which rule reads the values that satisfy a set of claims: one rule for each set, so that recursive schemas become
// recursive rules. Knows the parts that make strings, numbers, arrays and objects, and two forms of a value: JSON, or a
// parameter of a tool call, where a string stands as it is.

import { appendArray } from './array-rules.ts';
import { type Dfa, isEmpty } from './dfa.ts';
import { integerRule, type JsonRules, type JsonStyle, numberRule } from './json-rules.ts';
import { type Limit, numbersWithin } from './number-language.ts';
import { appendObject, type MemberSyntax } from './object-rules.ts';
import { Refusal, refusingAt } from './refusal.ts';
import { type Rule, RuleBuilder, RuleDraft } from './rule.ts';
import { type Atom, allKinds, type Claims, claimsKey, type Kind, kindOf } from './schema-atoms.ts';
import { SchemaDocument } from './schema-document.ts';
import { type Alternative, SchemaLogic, type SchemaLogicOptions } from './schema-logic.ts';
import { type RawStrings, StringRules } from './string-rules.ts';
import { anyText, includes } from './text-language.ts';
import { spell } from './text-spelling.ts';

export type ValueForm = 'json' | 'parameter';

/** How a parameter says whether its value is a raw string or JSON. */
export interface ParameterForm {
  readonly beforeString: string;
  readonly beforeJson: string;
  readonly strings: RawStrings;
}

export interface SchemaRulesOptions extends SchemaLogicOptions {
  readonly json: JsonRules;
  /** undefined: every value is JSON. */
  readonly parameter: ParameterForm | undefined;
}

export class SchemaRules {
  readonly logic: SchemaLogic;
  /** What the whole document demands. */
  readonly root: Claims;
  readonly #options: SchemaRulesOptions;
  readonly #strings: StringRules;
  readonly #rules = new Map<string, Rule>();
  readonly #numbers = new Map<string, Rule>();
  readonly #pending: (() => void)[] = [];

  constructor(schema: unknown, options: SchemaRulesOptions) {
    const document = new SchemaDocument(schema);
    this.logic = new SchemaLogic(document, options);
    this.root = [{ node: document.root, isNegated: false }];
    this.#options = options;
    this.#strings = new StringRules(options.parameter?.strings);
  }

  /** The rule of the values that satisfy all claims. It has its body once `finish` was called. */
  rule(claims: Claims, form: ValueForm): Rule {
    if (claims.length === 0 && form === 'json') return this.#options.json.value;
    const key = `${form} ${claimsKey(claims)}`;
    let rule = this.#rules.get(key);
    if (rule === undefined) {
      const draft = new RuleDraft();
      this.#rules.set(key, draft);
      this.#pending.push(() => refusingAt(claims[0]?.node.pointer ?? '', () => draft.define(this.#body(claims, form))));
      rule = draft;
    }
    return rule;
  }

  /** Reads the objects that satisfy all claims, in a syntax of the caller's. */
  appendObjects(r: RuleBuilder, start: number, accept: number, claims: Claims, syntax: MemberSyntax): void {
    for (const { kinds, atoms } of this.logic.alternatives(claims)) {
      if (!kinds.includes('object')) continue;
      const listed = atoms.find((atom) => atom.type === 'values');
      if (listed) throw new Refusal('an object out of a list is not supported here', claims[0]?.node.pointer);
      appendObject(r, start, accept, atoms, syntax, this.logic);
    }
  }

  /** Makes the bodies of all rules that were asked for. */
  finish(): void {
    for (let define = this.#pending.pop(); define; define = this.#pending.pop()) define();
  }

  /** Reads a text of one of the names, as a key in JSON or as it stands. */
  nameRule(names: Dfa, spelling: 'json' | 'raw'): Rule {
    return spelling === 'json' ? this.#strings.ruleFor(names, 'json') : spell(names, 'raw');
  }

  #body(claims: Claims, form: ValueForm): Rule {
    const r = new RuleBuilder();
    for (const alternative of this.logic.alternatives(claims)) this.#appendAlternative(r, alternative, form);
    return r.build();
  }

  #appendAlternative(r: RuleBuilder, { kinds, atoms }: Alternative, form: ValueForm): void {
    const { json, parameter } = this.#options;
    const isParameter = form === 'parameter' && parameter !== undefined;
    const before = (kind: Kind): number => {
      if (!isParameter) return r.start;
      return r.text(r.start, kind === 'string' ? parameter.beforeString : parameter.beforeJson);
    };
    const listed = atoms.find((atom) => atom.type === 'values');
    if (listed) {
      for (const value of listed.values) {
        const isRaw = isParameter && typeof value === 'string';
        // A raw string that cannot be told from its end is none of the possible values.
        if (isRaw && !includes(parameter.strings.texts, value)) continue;
        r.text(before(kindOf(value)), isRaw ? value : jsonText(value, json.style), r.accept);
      }
      return;
    }
    if (atoms.length === 0 && kinds.length === allKinds.length && !isParameter) {
      r.call(r.start, json.value, r.accept);
      return;
    }
    for (const kind of kinds) this.#appendKind(r, before(kind), kind, kinds, atoms, isParameter ? 'raw' : 'json');
  }

  #appendKind(
    r: RuleBuilder,
    start: number,
    kind: Kind,
    kinds: readonly Kind[],
    atoms: readonly Atom[],
    strings: 'raw' | 'json',
  ): void {
    const excluded = atoms.flatMap((atom) => (atom.type === 'other-values' ? atom.values : []));
    switch (kind) {
      case 'null':
        if (!excluded.includes(null)) r.text(start, 'null', r.accept);
        return;
      case 'boolean':
        for (const value of [true, false]) if (!excluded.includes(value)) r.text(start, String(value), r.accept);
        return;
      case 'integer':
      case 'fraction': {
        const isBoth = kinds.includes('integer') && kinds.includes('fraction');
        if (isBoth && kind === 'fraction') return;
        const rule = this.#numberRule(isBoth ? 'any' : kind, atoms, excluded);
        if (rule) r.call(start, rule, r.accept);
        return;
      }
      case 'string': {
        const rule = this.#strings.rule(atoms, strings);
        if (rule) r.call(start, rule, r.accept);
        return;
      }
      case 'array':
        refuseStructured(excluded, kind);
        if (!atoms.some(({ type }) => arrayAtoms.has(type))) r.call(start, this.#options.json.array, r.accept);
        else {
          const literals = (claims: Claims) => this.#literals(claims);
          const rule = (claims: Claims) => this.rule(claims, 'json');
          appendArray(r, start, r.accept, atoms, { style: this.#options.json.style, rule, literals });
        }
        return;
      case 'object':
        refuseStructured(excluded, kind);
        if (!atoms.some(({ type }) => objectAtoms.has(type))) r.call(start, this.#options.json.object, r.accept);
        else appendObject(r, start, r.accept, atoms, this.#jsonMembers(), this.logic);
        return;
      default:
        unreachable(kind);
    }
  }

  #numberRule(
    part: 'integer' | 'fraction' | 'any',
    atoms: readonly Atom[],
    excluded: readonly unknown[],
  ): Rule | undefined {
    const limits: Limit[] = atoms.flatMap((atom) => (atom.type === 'limit' ? [atom.limit] : []));
    const multiples = atoms.flatMap((atom) => (atom.type === 'multiple' ? [atom.of] : []));
    for (const value of excluded) if (typeof value === 'number') limits.push({ kind: 'other-than', value });
    if (limits.length === 0 && multiples.length === 0 && part !== 'fraction') {
      return part === 'integer' ? integerRule : numberRule;
    }
    const key = JSON.stringify([part, limits, multiples]);
    let rule = this.#numbers.get(key);
    if (rule === undefined) {
      rule = spell(numbersWithin({ part, limits, multiples }), 'raw');
      this.#numbers.set(key, rule);
    }
    return isEmpty(rule.dfa) ? undefined : rule;
  }

  /** The JSON of all values that satisfy the claims, where a list says which they are. */
  #literals(claims: Claims): readonly string[] | undefined {
    const texts = new Set<string>();
    for (const { kinds, atoms } of this.logic.alternatives(claims)) {
      const listed = atoms.find((atom) => atom.type === 'values');
      const few = kinds.every((kind) => kind === 'null' || kind === 'boolean') && atoms.length === 0;
      if (!listed && !few) return undefined;
      const values = listed?.values ?? [null, true, false].filter((value) => kinds.includes(kindOf(value)));
      for (const value of values) texts.add(jsonText(value, this.#options.json.style));
    }
    return [...texts];
  }

  #jsonMembers(): MemberSyntax {
    const { style } = this.#options.json;
    return {
      open: '{',
      close: '}',
      separator: style.item,
      names: anyText,
      furtherNames: anyText,
      member: (r, at, name, value, next) => {
        r.call(r.text(at, JSON.stringify(name) + style.key), this.rule(value, 'json'), next);
      },
      further: (r, at, names, value, next) => {
        r.call(r.text(r.call(at, this.nameRule(names, 'json')), style.key), this.rule(value, 'json'), next);
      },
    };
  }
}

/** The atoms that an array, or an object, can break. */
const arrayAtoms: ReadonlySet<Atom['type']> = new Set(['items', 'item-count', 'contains', 'unique']);
const objectAtoms: ReadonlySet<Atom['type']> = new Set([
  ...(['members', 'required', 'absent', 'member', 'names', 'member-count', 'outsider', 'closed'] as const),
]);

/** JSON in the one style there is. */
function jsonText(value: unknown, style: JsonStyle): string {
  if (Array.isArray(value)) return `[${value.map((item) => jsonText(item, style)).join(style.item)}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([name, inner]) => JSON.stringify(name) + style.key + jsonText(inner, style),
  );
  return `{${members.join(style.item)}}`;
}

function refuseStructured(excluded: readonly unknown[], kind: 'array' | 'object'): void {
  if (excluded.some((value) => kindOf(value) === kind)) {
    throw new Refusal(`any ${kind} but a given one cannot be enforced`);
  }
}

function unreachable(value: never): never {
  throw new Error(`expected a known case, got ${JSON.stringify(value)}`);
}
