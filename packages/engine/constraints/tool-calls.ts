// DSML's block of tool calls, as a rule.
//
// Owns the syntax that `packages/formats/chat` renders for DeepSeek-V4 and V3.2, read as a grammar: the block, one call after another, the tags of
// parameters, strings as they stand and everything else in JSON. Writes exactly what the renderer would write for the
// same calls, so that a conversation sent back is the same text again.

import type { CallsTag } from '@hadal/formats/chat/dialect';
import { dsml } from '@hadal/formats/special-tokens';
import { type Dfa, isEmpty } from './dfa.ts';
import type { JsonRules } from './json-rules.ts';
import type { MemberSyntax } from './object-rules.ts';
import { Refusal, refusingFor } from './refusal.ts';
import { dropEndless, type Rule, RuleBuilder } from './rule.ts';
import type { Claims } from './schema-atoms.ts';
import type { Note } from './schema-logic.ts';
import { type ParameterForm, SchemaRules } from './schema-rules.ts';
import { textMatching, textWithout } from './text-language.ts';
import { spell } from './text-spelling.ts';
import type { Vocabulary } from './vocabulary.ts';

export interface ToolSpec {
  readonly name: string;
  /** JSON Schema of the arguments; undefined: any. */
  readonly parameters: unknown;
  /** Whether the arguments follow the schema. */
  readonly isStrict: boolean;
}

export interface ToolCallsOptions {
  readonly callsTag: CallsTag;
  readonly tools: readonly ToolSpec[];
  readonly calls: 'one' | 'several';
  readonly json: JsonRules;
}

/** Names of tools and parameters that the syntax can hold: within quotes, on one line. */
const nameTexts: Dfa = textMatching('[^"\\n]+', 'whole');
/** Names that a model may make up where a schema allows any. */
const furtherNames: Dfa = textMatching('[A-Za-z0-9_.-]{1,64}', 'whole');
const parameterEnd = `</${dsml}parameter>`;
const rawTexts: Dfa = textWithout(parameterEnd);

const parameterForm: ParameterForm = {
  beforeString: 'true">',
  beforeJson: 'false">',
  strings: { texts: rawTexts, any: spell(rawTexts, 'raw') },
};

/** Reads a block of calls from its first tag to its last. What is noted about schemas is added to `notes`. */
export function toolCallsRule(vocabulary: Vocabulary, options: ToolCallsOptions, notes: Note[]): Rule {
  const { callsTag, tools, calls, json } = options;
  const r = new RuleBuilder();
  const inBlock = r.bytes(r.start, markedBytes(vocabulary, `<${dsml}${callsTag}>\n`));
  const afterCall = r.state();
  for (const tool of tools) {
    refusingFor(tool.name, () => {
      if (!/^[^"\n]+$/.test(tool.name)) throw new Refusal('expected a name without quotes and line breaks');
      const begin = r.bytes(inBlock, markedBytes(vocabulary, `<${dsml}invoke name="${tool.name}">\n`));
      const end = r.call(begin, argumentsRule(vocabulary, tool, json, notes));
      r.bytes(end, markedBytes(vocabulary, `\n</${dsml}invoke>\n`), afterCall);
    });
  }
  if (calls === 'several') r.silent(afterCall, inBlock);
  r.bytes(afterCall, markedBytes(vocabulary, `</${dsml}${callsTag}>`), r.accept);
  return r.build();
}

/** The bytes of a text in which the mark of tool calls is its special token, where there is one. */
export function markedBytes(vocabulary: Vocabulary, text: string): number[] {
  const mark = vocabulary.specialSpelling(dsml) ?? utf8.encode(dsml);
  return text.split(dsml).flatMap((part, i) => [...(i > 0 ? mark : []), ...utf8.encode(part)]);
}

const utf8 = new TextEncoder();

/** Reads one tag for each argument, by the schema where the tool is strict. */
function argumentsRule(vocabulary: Vocabulary, tool: ToolSpec, json: JsonRules, notes: Note[]): Rule {
  const schema = tool.isStrict ? (tool.parameters ?? noParameters) : anyParameters;
  const rules = new SchemaRules(schema, { json, parameter: parameterForm, unknown: 'refuse' });
  const end = markedBytes(vocabulary, parameterEnd);
  const value = (r: RuleBuilder, at: number, claims: Claims, next: number) => {
    r.bytes(r.call(r.text(at, '" string="'), rules.rule(claims, 'parameter')), end, next);
  };
  const open = markedBytes(vocabulary, `<${dsml}parameter name="`);
  const syntax: MemberSyntax = {
    open: '',
    close: '',
    separator: '\n',
    names: nameTexts,
    furtherNames,
    member: (r, at, name, claims, next) => value(r, r.text(r.bytes(at, open), name), claims, next),
    further: (r, at, names, claims, next) =>
      value(r, r.call(r.bytes(at, open), rules.nameRule(names, 'raw')), claims, next),
  };
  const r = new RuleBuilder();
  rules.appendObjects(r, r.start, r.accept, rules.root, syntax);
  const rule = r.build();
  rules.finish();
  notes.push(...rules.logic.notes);
  dropEndless(rule);
  if (isEmpty(rule.dfa)) throw new Refusal('no arguments satisfy the schema', '');
  return rule;
}

/** A strict function without parameters takes none. */
const noParameters = { type: 'object', additionalProperties: false };
const anyParameters = { type: 'object' };
