// One tag of DSML, as it stands at the beginning of a text that may still be growing.
//
// Owns how tags look in all three dialects at once, and the mistakes that models make with them: the block's name of another
// dialect, a space too many or too few, the token's bars doubled. Knows nothing of where a tag has a place.

import { dsml } from '../special-tokens.ts';

export type DsmlTag =
  /** `unknown`: the mark of tags and the name of one, of which the rest is missing or wrong. */
  | { readonly kind: 'block' | 'block-end' | 'call-end' | 'parameter-end' | 'unknown'; readonly length: number }
  | { readonly kind: 'call'; readonly length: number; readonly name: string }
  | {
      readonly kind: 'parameter';
      readonly length: number;
      readonly name: string;
      readonly isString: boolean;
      /** The tag that closes it. */
      readonly end: string;
    };

const marks = [dsml, `｜${dsml}｜`];
/** What every tag begins with. */
export const tagBegins: readonly string[] = marks.flatMap((mark) => [`<${mark}`, `</${mark}`]);

const blockNames = ['tool_calls', 'function_calls', 'calls'];
const names = [...blockNames, 'invoke', 'parameter'].flatMap((name) => [name, ` ${name}`]);
const closing = (tagNames: readonly string[]): readonly string[] =>
  marks.flatMap((mark) => tagNames.flatMap((name) => [`</${mark}${name}>`, `</${mark} ${name}>`]));
/** All closing tags, in every spelling. */
export const tagEnds = closing(['parameter', 'invoke', ...blockNames]);

/** A tag that does not end within so many characters is none. */
const maxLength = 2000;
const nameAttribute = ' name="';
/** A name may hold anything but a line's end; it ends where the rest of the tag is right. */
const attributes = /^ name="([^\n]*?)"(?: +string="([^"\n]*)")? *>/;

/** The tag that the text begins with; the text begins with one of `tagBegins`. */
export function readTag(text: string): DsmlTag | 'unfinished' {
  const mark = tagBegins.findLast((begin) => text.startsWith(begin)) ?? '';
  const rest = text.slice(mark.length);
  const name = names.find((candidate) => rest.startsWith(candidate));
  if (name === undefined) {
    return names.some((candidate) => candidate.startsWith(rest))
      ? 'unfinished'
      : { kind: 'unknown', length: mark.length };
  }
  const unknown = { kind: 'unknown', length: mark.length + name.length } as const;
  const tail = rest.slice(name.length);
  const opens = !mark.startsWith('</');
  const kind = name.trim();
  if (!opens || blockNames.includes(kind)) {
    const end = /^ *>/.exec(tail)?.[0];
    if (end === undefined) return /^ *$/.test(tail) && tail.length < maxLength ? 'unfinished' : unknown;
    const length = unknown.length + end.length;
    if (kind === 'invoke') return { kind: 'call-end', length };
    if (kind === 'parameter') return { kind: 'parameter-end', length };
    return { kind: opens ? 'block' : 'block-end', length };
  }
  const found = attributes.exec(tail);
  if (found === null || found[0].includes(dsml)) {
    const isBeginning =
      tail.length < nameAttribute.length ? nameAttribute.startsWith(tail) : tail.startsWith(nameAttribute);
    const mayEnd = isBeginning && tail.length < maxLength && !tail.includes('\n') && !tail.includes(dsml);
    return mayEnd ? 'unfinished' : unknown;
  }
  const [all, value = '', isString] = found;
  const length = unknown.length + all.length;
  if (kind === 'parameter') {
    return { kind, length, name: value, isString: isString !== 'false', end: `</${mark.slice(1)}${name}>` };
  }
  return isString === undefined ? { kind: 'call', length, name: value } : unknown;
}
