// DSML's block of tool calls, as a rule.
//
// Owns the syntax that `packages/formats/chat` renders for DeepSeek-V3.2, V4 and V4.1, read as a grammar: the block, one call after another, the tags of
// parameters, strings as they stand and everything else in JSON. Writes exactly what the renderer would write for the
// same calls, so that a conversation sent back is the same text again.

import type { CallsTag } from '@hadal/formats/chat/dialect';
import { type DsmlTags, dsmlTags } from '@hadal/formats/chat/dsml';
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
/** Made once for each dialect, so that all constraints share their masks. */
const parameterForms: Readonly<Record<CallsTag, ParameterForm>> = {
  function_calls: parameterForm('function_calls'),
  tool_calls: parameterForm('tool_calls'),
  ' calls': parameterForm(' calls'),
};

/** Reads a block of calls from its first tag to its last. What is noted about schemas is added to `notes`. */
export function toolCallsRule(vocabulary: Vocabulary, options: ToolCallsOptions, notes: Note[]): Rule {
  const { callsTag, tools, calls, json } = options;
  const tags = dsmlTags(callsTag);
  const r = new RuleBuilder();
  const inBlock = r.bytes(r.start, markedBytes(vocabulary, `${tags.blockBegin}\n`));
  const afterCall = r.state();
  for (const tool of tools) {
    refusingFor(tool.name, () => {
      if (!/^[^"\n]+$/.test(tool.name)) throw new Refusal('expected a name without quotes and line breaks');
      const begin = r.bytes(inBlock, markedBytes(vocabulary, `${tags.callBegin}${tool.name}">\n`));
      const end = r.call(begin, argumentsRule(vocabulary, tool, { json, tags, form: parameterForms[callsTag] }, notes));
      r.bytes(end, markedBytes(vocabulary, `\n${tags.callEnd}\n`), afterCall);
    });
  }
  if (calls === 'several') r.silent(afterCall, inBlock);
  r.bytes(afterCall, markedBytes(vocabulary, tags.blockEnd), r.accept);
  return r.build();
}

/** The bytes of a text in which the mark of tool calls is its special token, where there is one. */
export function markedBytes(vocabulary: Vocabulary, text: string): number[] {
  const mark = vocabulary.specialSpelling(dsml) ?? utf8.encode(dsml);
  return text.split(dsml).flatMap((part, i) => [...(i > 0 ? mark : []), ...utf8.encode(part)]);
}

const utf8 = new TextEncoder();

function parameterForm(callsTag: CallsTag): ParameterForm {
  const texts: Dfa = textWithout(dsmlTags(callsTag).parameterEnd);
  return { beforeString: 'true">', beforeJson: 'false">', strings: { texts, any: spell(texts, 'raw') } };
}

interface ArgumentSyntax {
  readonly json: JsonRules;
  readonly tags: DsmlTags;
  readonly form: ParameterForm;
}

/** Reads one tag for each argument, by the schema where the tool is strict. */
function argumentsRule(
  vocabulary: Vocabulary,
  tool: ToolSpec,
  { json, tags, form }: ArgumentSyntax,
  notes: Note[],
): Rule {
  const schema = tool.isStrict ? (tool.parameters ?? noParameters) : anyParameters;
  const rules = new SchemaRules(schema, { json, parameter: form, unknown: 'refuse' });
  const end = markedBytes(vocabulary, tags.parameterEnd);
  const value = (r: RuleBuilder, at: number, claims: Claims, next: number) => {
    r.bytes(r.call(r.text(at, '" string="'), rules.rule(claims, 'parameter')), end, next);
  };
  const open = markedBytes(vocabulary, tags.parameterBegin);
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
