// Templates: text with `{{ item.x }}` and `{{ sample.output_text }}` in it.
//
// Owns what may stand between the braces (a path into one of the two namespaces), what it becomes, and the mistakes that can be
// found before there is any answer. A path that leads nowhere is never filled with nothing: a grader would compare with it.

import type { Namespaces, SampleNamespace } from './sample.ts';

/** Why a template could not be filled. `sample-parse`: the answer has not what was asked for, which is the answer's fault. */
export class UnfilledTemplate extends Error {
  override readonly name = 'UnfilledTemplate';
  readonly kind: 'invalid-variable' | 'sample-parse';

  constructor(kind: 'invalid-variable' | 'sample-parse', message: string) {
    super(message);
    this.kind = kind;
  }
}

interface Path {
  readonly root: 'item' | 'sample';
  readonly keys: readonly string[];
}

const placeholder = /\{\{(.*?)\}\}/gs;
const step = /\.([\p{L}\p{N}_-]+)|\[(\d+)\]|\["([^"]*)"\]|\['([^']*)'\]/uy;
const sampleFields = {
  output_text: 'text',
  output_json: 'any',
  output_tools: 'any',
  choices: 'any',
} as const satisfies Record<keyof SampleNamespace, 'text' | 'any'>;

/** The text with what its paths lead to: strings as they are, all else as JSON. Throws `UnfilledTemplate`. */
export function fill(template: string, namespaces: Namespaces): string {
  return template.replaceAll(placeholder, (_, inner: string) => {
    const path = pathOf(inner);
    if (path === undefined) throw new UnfilledTemplate('invalid-variable', `{{${inner}}} is no path`);
    const value = valueAt(namespaces[path.root], path.keys);
    if (value === undefined || (value === null && path.keys[0] === 'output_json')) throw missing(inner, path);
    return typeof value === 'string' ? value : JSON.stringify(value);
  });
}

function missing(inner: string, path: Path): UnfilledTemplate {
  const variable = inner.trim();
  if (path.root === 'item') return new UnfilledTemplate('invalid-variable', `the item has no ${variable}`);
  if (!Object.hasOwn(sampleFields, path.keys[0] ?? '')) {
    return new UnfilledTemplate('invalid-variable', `there is no ${variable}`);
  }
  return new UnfilledTemplate('sample-parse', `the answer has no ${variable}`);
}

/** What of the template can name nothing, whatever the answer; `items` are the rows that it must do for, with their lines. */
export function templateMistakes(template: string, items: readonly NumberedItem[]): string[] {
  return [...template.matchAll(placeholder)].flatMap(([whole, inner = '']) => {
    const mistake = mistakeOf(inner, items);
    return mistake === undefined ? [] : [`${whole} ${mistake}`];
  });
}

/** A row and its line in its file, from 1. */
export interface NumberedItem {
  readonly line: number;
  readonly item: unknown;
}

function mistakeOf(inner: string, items: readonly NumberedItem[]): string | undefined {
  const path = pathOf(inner);
  if (path === undefined) return 'names nothing: expected a path that begins with item. or sample.';
  const [first, second] = path.keys;
  if (path.root === 'sample') {
    if (first === undefined || !Object.hasOwn(sampleFields, first)) {
      return `names nothing: sample has ${Object.keys(sampleFields).join(', ')}`;
    }
    const isText = sampleFields[first as keyof typeof sampleFields] === 'text';
    return isText && second !== undefined ? `names nothing: sample.${first} is a text` : undefined;
  }
  const lacking = items.filter(({ item }) => valueAt(item, path.keys) === undefined);
  if (lacking.length === 0) return undefined;
  const others = lacking.length > 1 ? ` and of ${lacking.length - 1} more` : '';
  return `names nothing in the row of line ${lacking[0]?.line}${others}`;
}

/** `item.a[0]["b c"]`; undefined where the text is no path. */
function pathOf(inner: string): Path | undefined {
  const text = inner.trim();
  const root = /^(item|sample)(?=[.[]|$)/.exec(text)?.[1];
  if (root !== 'item' && root !== 'sample') return undefined;
  const keys: string[] = [];
  let at = root.length;
  while (at < text.length) {
    step.lastIndex = at;
    const match = step.exec(text);
    if (match === null) return undefined;
    keys.push(match[1] ?? match[2] ?? match[3] ?? match[4] ?? '');
    at = step.lastIndex;
  }
  return { root, keys };
}

/** Own properties only: what every object inherits is no field. */
function valueAt(value: unknown, keys: readonly string[]): unknown {
  let at = value;
  for (const key of keys) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined;
    at = Reflect.get(at, key);
  }
  return at;
}
