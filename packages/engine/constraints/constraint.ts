// What a completion must look like, compiled for a vocabulary.
//
// Owns the kinds of constraints and the one function that compiles them. A specification that cannot be enforced whole is
// refused with the place and the reason. The result is immutable and makes a matcher for each sequence. Knows nothing of
// requests, models or wire formats.

import type { CallsTag } from '@hadal/formats/chat/dialect';
import { dsml, thinkEnd } from '@hadal/formats/special-tokens';
import { isEmpty } from './dfa.ts';
import { type JsonStyle, makeJsonRules, pythonStyle } from './json-rules.ts';
import { type ForcedCache, type Matcher, makeMatcher } from './matcher.ts';
import { Pushdown } from './pushdown.ts';
import { Refusal } from './refusal.ts';
import { dropEndless, type Rule, RuleBuilder } from './rule.ts';
import type { Note } from './schema-logic.ts';
import { SchemaRules } from './schema-rules.ts';
import { textAmong, textMatching, textWithout } from './text-language.ts';
import { spell } from './text-spelling.ts';
import type { TokenMasks } from './token-masks.ts';
import { type ToolSpec, toolCallsRule } from './tool-calls.ts';
import type { Vocabulary } from './vocabulary.ts';

export type ConstraintSpec =
  /** Any JSON object. */
  | { readonly type: 'json-object' }
  /** JSON that satisfies a schema. Keywords that are in no draft are noted or, where `isStrict`, refused. */
  | { readonly type: 'json-schema'; readonly schema: unknown; readonly isStrict: boolean }
  /** A text that the pattern matches as a whole. */
  | { readonly type: 'regex'; readonly pattern: string }
  | { readonly type: 'choice'; readonly options: readonly string[] }
  /** A block of tool calls in DSML. */
  | {
      readonly type: 'tool-calls';
      readonly callsTag: CallsTag;
      readonly tools: readonly ToolSpec[];
      readonly choice: ToolChoice;
      readonly calls: 'one' | 'several';
    }
  /** Any text up to `</think>`, then the rest: for prompts that end in `<think>`. */
  | { readonly type: 'after-reasoning'; readonly answer: ConstraintSpec };

export type ToolChoice =
  /** Content, calls, or content and then calls. Content that is constrained stands alone. */
  | { readonly type: 'auto'; readonly content: 'free' | ConstraintSpec }
  | { readonly type: 'required' }
  | { readonly type: 'named'; readonly name: string };

export interface Constraint {
  /** A matcher at the beginning. */
  matcher(): Matcher;
  /** What is not enforced, because no standard says what it demands. */
  readonly notes: readonly Note[];
}

/** Why a specification cannot be enforced. */
export interface ConstraintRefusal {
  /** RFC 6901, into the schema; into the parameters of `tool` where one is named; '' for everything else. */
  readonly pointer: string;
  readonly tool: string | undefined;
  readonly reason: string;
}

export type CompiledConstraint =
  | { readonly type: 'compiled'; readonly constraint: Constraint }
  | ({ readonly type: 'refused' } & ConstraintRefusal);

export interface ConstraintOptions {
  /** How JSON is spaced; as Python does when absent. */
  readonly style?: JsonStyle;
}

/** Compiles for the vocabulary that `masks` belong to. */
export function compileConstraint(
  spec: ConstraintSpec,
  vocabulary: Vocabulary,
  masks: TokenMasks,
  { style = pythonStyle }: ConstraintOptions = {},
): CompiledConstraint {
  const notes: Note[] = [];
  try {
    const root = ruleFor(spec, { vocabulary, style, notes });
    dropEndless(root);
    if (isEmpty(root.dfa)) throw new Refusal('no text satisfies it', '');
    const pushdown = new Pushdown(root);
    const forced: ForcedCache = new WeakMap();
    const matcher = () => makeMatcher(pushdown, vocabulary, masks, forced);
    return { type: 'compiled', constraint: { matcher, notes } };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { type: 'refused', pointer: error.pointer ?? '', tool: error.tool, reason: error.reason };
  }
}

/** Any text up to a mark. Made once, so that all constraints share their masks. */
const reasoning: Rule = spell(textWithout(thinkEnd), 'raw');
/** Any text without markup of calls: a parser reads calls outside of a block too, which would be held to nothing. */
const content: Rule = spell(textWithout(dsml), 'raw');

interface Context {
  readonly vocabulary: Vocabulary;
  readonly style: JsonStyle;
  readonly notes: Note[];
}

function ruleFor(spec: ConstraintSpec, context: Context): Rule {
  switch (spec.type) {
    case 'json-object':
      return makeJsonRules(context.style).object;
    case 'json-schema':
      return schemaRule(spec.schema, spec.isStrict, context);
    case 'regex':
      return spell(textMatching(spec.pattern, 'whole'), 'raw');
    case 'choice':
      if (spec.options.length === 0) throw new Refusal('expected at least one option');
      return spell(textAmong(spec.options), 'raw');
    case 'tool-calls':
      return toolsRule(spec, context);
    case 'after-reasoning': {
      const { vocabulary } = context;
      const r = new RuleBuilder();
      const end = vocabulary.specialSpelling(thinkEnd) ?? new TextEncoder().encode(thinkEnd);
      const reasoned = r.bytes(r.call(r.start, reasoning), end);
      r.call(reasoned, ruleFor(spec.answer, context), r.accept);
      return r.build();
    }
    default:
      return unreachable(spec);
  }
}

function schemaRule(schema: unknown, isStrict: boolean, { style, notes }: Context): Rule {
  const json = makeJsonRules(style);
  const rules = new SchemaRules(schema, { json, parameter: undefined, unknown: isStrict ? 'refuse' : 'note' });
  const rule = rules.rule(rules.root, 'json');
  rules.finish();
  notes.push(...rules.logic.notes);
  dropEndless(rule);
  if (isEmpty(rule.dfa)) throw new Refusal('no value satisfies it', rules.logic.culprit ?? '');
  return rule;
}

function toolsRule(spec: Extract<ConstraintSpec, { type: 'tool-calls' }>, context: Context): Rule {
  const { callsTag, choice, calls } = spec;
  const tools = choice.type === 'named' ? spec.tools.filter(({ name }) => name === choice.name) : spec.tools;
  if (tools.length === 0) {
    throw new Refusal(`expected ${choice.type === 'named' ? `a tool named ${choice.name}` : 'at least one tool'}`);
  }
  const block = toolCallsRule(
    context.vocabulary,
    { callsTag, tools, calls: choice.type === 'named' ? 'one' : calls, json: makeJsonRules(context.style) },
    context.notes,
  );
  const r = new RuleBuilder();
  if (choice.type === 'auto' && choice.content === 'free') {
    // The line breaks before a block are part of the content.
    const said = r.call(r.start, content);
    r.silent(said, r.accept);
    r.call(said, block, r.accept);
  } else {
    if (choice.type === 'auto') r.call(r.start, ruleFor(choice.content as ConstraintSpec, context), r.accept);
    r.call(r.text(r.start, '\n\n'), block, r.accept);
  }
  return r.build();
}

function unreachable(value: never): never {
  throw new Error(`expected a known kind of constraint, got ${JSON.stringify(value)}`);
}
