// ECMAScript regular expressions, as far as an automaton can follow them.
//
// Owns the grammar of patterns: what they say, as a tree over sets of code points. Refuses what is not regular or cannot
// be decided without looking around (backreferences, lookahead, lookbehind, word boundaries). Reads patterns as the `u`
// flag does, and forgives the escapes of punctuation that only patterns without it allow.

import {
  type CodePoints,
  digits,
  lineTerminators,
  negate,
  property,
  spaces,
  union,
  wordCharacters,
} from './code-points.ts';
import { Refusal } from './refusal.ts';

export type RegularExpression =
  | { readonly type: 'set'; readonly set: CodePoints }
  | { readonly type: 'sequence'; readonly parts: readonly RegularExpression[] }
  | { readonly type: 'alternatives'; readonly options: readonly RegularExpression[] }
  /** max may be Infinity. */
  | { readonly type: 'repeat'; readonly part: RegularExpression; readonly min: number; readonly max: number }
  | { readonly type: 'start' }
  | { readonly type: 'end' };

const maxDepth = 200;
const controlEscapes: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13 };

/** Refused with the reason and the place in the pattern. */
export function parseRegularExpression(pattern: string): RegularExpression {
  const characters = [...pattern];
  let at = 0;
  let depth = 0;

  function refuse(reason: string): never {
    throw new Refusal(`pattern ${JSON.stringify(pattern)}, character ${at}: ${reason}`);
  }

  function take(expected: string): boolean {
    if (characters.slice(at, at + expected.length).join('') !== expected) return false;
    at += expected.length;
    return true;
  }

  function next(): string {
    return characters[at++] ?? refuse('expected more, it ends');
  }

  function alternatives(): RegularExpression {
    if (++depth > maxDepth) refuse(`expected at most ${maxDepth} groups inside each other`);
    const options = [sequence()];
    while (take('|')) options.push(sequence());
    depth--;
    return options.length === 1 ? options[0]! : { type: 'alternatives', options };
  }

  function sequence(): RegularExpression {
    const parts: RegularExpression[] = [];
    while (at < characters.length && characters[at] !== '|' && characters[at] !== ')') parts.push(quantified());
    return parts.length === 1 ? parts[0]! : { type: 'sequence', parts };
  }

  function quantified(): RegularExpression {
    let part = atom();
    for (let bounds = quantifier(); bounds !== undefined; bounds = quantifier()) {
      if (part.type === 'start' || part.type === 'end') refuse('expected something to repeat, found an anchor');
      part = { type: 'repeat', part, ...bounds };
    }
    return part;
  }

  function quantifier(): { min: number; max: number } | undefined {
    const begin = at;
    let bounds: { min: number; max: number } | undefined;
    if (take('*')) bounds = { min: 0, max: Infinity };
    else if (take('+')) bounds = { min: 1, max: Infinity };
    else if (take('?')) bounds = { min: 0, max: 1 };
    else if (take('{')) {
      const min = number();
      const max = min === undefined ? undefined : take(',') ? (number() ?? Infinity) : min;
      if (min === undefined || max === undefined || !take('}')) {
        at = begin; // a brace that stands for itself
        return undefined;
      }
      if (max < min) refuse(`expected {min,max} in order, got {${min},${max}}`);
      bounds = { min, max };
    }
    // Lazy or greedy, the language is the same.
    if (bounds) take('?');
    return bounds;
  }

  function number(): number | undefined {
    const begin = at;
    while (/^[0-9]$/.test(characters[at] ?? '')) at++;
    return at === begin ? undefined : Number(characters.slice(begin, at).join(''));
  }

  function atom(): RegularExpression {
    const character = next();
    switch (character) {
      case '^':
        return { type: 'start' };
      case '$':
        return { type: 'end' };
      case '.':
        return { type: 'set', set: negate(lineTerminators) };
      case '(':
        return group();
      case '[':
        return { type: 'set', set: classSet() };
      case '\\':
        return { type: 'set', set: escaped('outside') };
      case '*':
      case '+':
      case '?':
        return refuse(`expected something for ${character} to repeat`);
      default:
        return { type: 'set', set: single(character.codePointAt(0)!) };
    }
  }

  function group(): RegularExpression {
    if (take('?')) {
      if (take('=') || take('!')) refuse('lookahead is not supported');
      if (take('<=') || take('<!')) refuse('lookbehind is not supported');
      if (take('<')) {
        while (next() !== '>');
      } else if (!take(':')) {
        refuse('expected (?: or (?<name>, flags inside patterns are not supported');
      }
    }
    const inner = alternatives();
    if (!take(')')) refuse('expected )');
    return inner;
  }

  function classSet(): CodePoints {
    const isNegated = take('^');
    const sets: CodePoints[] = [];
    while (!take(']')) {
      const low = classItem();
      const begin = at;
      if (take('-') && characters[at] !== ']' && at < characters.length) {
        const high = classItem();
        if (isSingle(low) && isSingle(high)) {
          if (high[0]! < low[0]!) refuse('expected a range in order');
          sets.push([low[0]!, high[0]!]);
        } else {
          sets.push(low, single(0x2d), high);
        }
      } else {
        at = begin;
        sets.push(low);
      }
    }
    const set = union(...sets);
    return isNegated ? negate(set) : set;
  }

  function classItem(): CodePoints {
    const character = next();
    return character === '\\' ? escaped('in-class') : single(character.codePointAt(0)!);
  }

  function escaped(place: 'outside' | 'in-class'): CodePoints {
    const character = next();
    switch (character) {
      case 'd':
        return digits;
      case 'D':
        return negate(digits);
      case 'w':
        return wordCharacters;
      case 'W':
        return negate(wordCharacters);
      case 's':
        return spaces;
      case 'S':
        return negate(spaces);
      case 'p':
      case 'P':
        return propertySet(character);
      case 'b':
        return place === 'in-class' ? single(8) : refuse('word boundaries are not supported');
      case 'B':
        return refuse('word boundaries are not supported');
      case 'k':
        return refuse('backreferences are not supported');
      case 'x':
        return single(hexadecimal(2));
      case 'u':
        return single(take('{') ? bracedHexadecimal() : codeUnit());
      case 'c':
        return single(next().codePointAt(0)! % 32);
      default:
        if (character in controlEscapes) return single(controlEscapes[character]!);
        if (character === '0' && !/^[0-9]$/.test(characters[at] ?? '')) return single(0);
        if (/^[0-9]$/.test(character)) return refuse('backreferences are not supported');
        if (/^[A-Za-z]$/.test(character)) return refuse(`expected an escape, found \\${character}`);
        return single(character.codePointAt(0)!);
    }
  }

  function propertySet(letter: 'p' | 'P'): CodePoints {
    if (!take('{')) refuse('expected { after \\p');
    let name = '';
    for (let character = next(); character !== '}'; character = next()) name += character;
    const set = property(name) ?? refuse(`expected a property of Unicode, found ${name}`);
    return letter === 'p' ? set : negate(set);
  }

  function hexadecimal(length: number): number {
    const text = characters.slice(at, at + length).join('');
    if (text.length !== length || !/^[0-9a-fA-F]+$/.test(text)) refuse(`expected ${length} hexadecimal digits`);
    at += length;
    return Number.parseInt(text, 16);
  }

  function bracedHexadecimal(): number {
    let text = '';
    for (let character = next(); character !== '}'; character = next()) text += character;
    const point = Number.parseInt(text, 16);
    return /^[0-9a-fA-F]+$/.test(text) && point <= 0x10ffff ? point : refuse('expected a code point in \\u{}');
  }

  /** Four digits, or eight that are a surrogate pair. */
  function codeUnit(): number {
    const unit = hexadecimal(4);
    if (unit < 0xd800 || unit > 0xdbff) return unit;
    const begin = at;
    if (take('\\u')) {
      const low = hexadecimal(4);
      if (low >= 0xdc00 && low <= 0xdfff) return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    at = begin;
    return unit;
  }

  const tree = alternatives();
  if (at < characters.length) refuse(`expected the end, found ${characters[at]}`);
  return tree;
}

function single(point: number): CodePoints {
  return [point, point];
}

function isSingle(set: CodePoints): boolean {
  return set.length === 2 && set[0] === set[1];
}
