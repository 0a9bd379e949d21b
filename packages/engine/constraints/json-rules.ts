// The rules of JSON itself.
//
// Owns strings, numbers and values of any kind in one style of spacing, which is fixed: a model has learned one way to write
// JSON, and where there is a choice of spaces a weak one never leaves it. Knows nothing of schemas. The rules of leaves
// are shared by all constraints, and so is what is computed for them.

import { anyInteger, anyNumber } from './number-language.ts';
import { type Rule, RuleBuilder, RuleDraft } from './rule.ts';
import { anyText } from './text-language.ts';
import { spell } from './text-spelling.ts';

/** What stands between items, and between a key and its value. */
export interface JsonStyle {
  readonly item: string;
  readonly key: string;
}

/** As Python's json.dumps writes, and so as DeepSeek's models were taught. */
export const pythonStyle: JsonStyle = { item: ', ', key: ': ' };

export const stringRule: Rule = spell(anyText, 'json');
export const numberRule: Rule = spell(anyNumber, 'raw');
export const integerRule: Rule = spell(anyInteger, 'raw');

export interface JsonRules {
  readonly style: JsonStyle;
  readonly value: Rule;
  readonly object: Rule;
  readonly array: Rule;
}

export function makeJsonRules(style: JsonStyle): JsonRules {
  const value = new RuleDraft();
  const object = new RuleDraft();
  const array = new RuleDraft();
  array.define(enclosed('[', ']', style, (r, at, next) => r.call(at, value, next)));
  object.define(
    enclosed('{', '}', style, (r, at, next) => r.call(r.text(r.call(at, stringRule), style.key), value, next)),
  );
  const r = new RuleBuilder();
  for (const literal of ['null', 'true', 'false']) r.text(r.start, literal, r.accept);
  for (const rule of [stringRule, numberRule, object, array]) r.call(r.start, rule, r.accept);
  value.define(r.build());
  return { style, value, object, array };
}

/** Any number of items between brackets. */
function enclosed(
  open: string,
  close: string,
  { item: separator }: JsonStyle,
  item: (r: RuleBuilder, at: number, next: number) => void,
): Rule {
  const r = new RuleBuilder();
  const inside = r.text(r.start, open);
  const afterItem = r.state();
  item(r, inside, afterItem);
  item(r, r.text(afterItem, separator), afterItem);
  r.text(inside, close, r.accept);
  r.text(afterItem, close, r.accept);
  return r.build();
}
