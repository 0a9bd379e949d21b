// Where a JSON text ends that is followed by a mark which may also stand in its strings.
//
// Owns a scanner of strict JSON, fed as the text grows, and the decision: the first mark outside of a string that ends a whole
// value, as long as all before it is JSON; otherwise the first mark there is. Knows no markup. What may still turn out to lie
// behind the end is held back, and nothing is read twice.

import { findFirst } from './answer-events.ts';
import type { AnswerEnd } from './dialect.ts';

/**
 * What is known of the text given. `open`: its first `length` characters are the value's. `whole`: so they are, and the value is
 * complete. `marked`: the value has ended there, at the mark.
 */
export type JsonProgress =
  | { readonly type: 'open' | 'whole'; readonly length: number }
  | { readonly type: 'marked'; readonly length: number; readonly mark: string };

export class JsonEnd {
  readonly #marks: readonly string[];
  readonly #json = new JsonScanner();
  /** Characters of the text that the scanner has read. */
  #scanned = 0;
  /** The first mark in a string, which is the end after all if no whole value comes. */
  #doubtful: { readonly index: number; readonly mark: string } | undefined;

  constructor(marks: readonly string[]) {
    this.#marks = marks;
  }

  /** `text`: everything from the first character that was not taken. */
  find(text: string): JsonProgress {
    for (;;) {
      const rest = text.slice(this.#scanned);
      const { index, marker } = findFirst(rest, this.#marks);
      this.#scanned += this.#json.read(rest.slice(0, index));
      if (this.#json.state === 'whole') return { type: 'whole', length: this.#scanned };
      if (this.#json.state === 'wrong' && this.#doubtful) return this.#endAtDoubtful(this.#doubtful);
      if (marker === undefined) return { type: 'open', length: this.#doubtful?.index ?? this.#scanned };
      if (this.#json.state !== 'string') {
        if (this.#doubtful) return this.#endAtDoubtful(this.#doubtful);
        return { type: 'marked', length: this.#scanned, mark: marker };
      }
      this.#doubtful ??= { index: this.#scanned, mark: marker };
      this.#scanned += this.#json.read(marker);
    }
  }

  /** As `find`, where no text follows. Of a value that was cut off in a string, the marks in it stay in doubt. */
  finish(text: string, how: AnswerEnd): JsonProgress {
    const found = this.find(text);
    return found.type === 'open' && this.#doubtful && how === 'finished' ? this.#endAtDoubtful(this.#doubtful) : found;
  }

  /** The first characters of the text have been taken. */
  take(length: number): void {
    this.#scanned -= length;
    if (this.#doubtful) this.#doubtful = { ...this.#doubtful, index: this.#doubtful.index - length };
  }

  #endAtDoubtful({ index, mark }: { readonly index: number; readonly mark: string }): JsonProgress {
    return { type: 'marked', length: index, mark };
  }
}

/** `whole`: an object, an array or a string has ended. `wrong`: what was read begins no JSON. `plain`: anywhere else. */
type ScannerState = 'plain' | 'string' | 'whole' | 'wrong';

/** What may come next, outside of strings and scalars. */
type Expected = 'value' | 'value or ]' | 'key' | 'key or }' | ':' | ', or end';

/** RFC 8259, character by character. */
class JsonScanner {
  state: ScannerState = 'plain';
  #expected: Expected = 'value';
  readonly #open: ('{' | '[')[] = [];
  #isKey = false;
  /** In a string: the characters of an escape so far. */
  #escape = '';
  /** A number or a word as far as it has come. */
  #scalar = '';

  /** Reads until the value is whole or the text is read; says how much was. After `wrong`, all is. */
  read(text: string): number {
    for (let i = 0; i < text.length; i++) {
      if (this.state === 'wrong') return text.length;
      if (this.state === 'whole') return i;
      if (this.state === 'string') this.#readInString(text.charAt(i));
      else this.#readPlain(text.charAt(i));
    }
    return text.length;
  }

  #readInString(character: string): void {
    if (this.#escape !== '') {
      this.#escape += character;
      if (escapeForm.test(this.#escape)) this.#escape = '';
      else if (!escapeBeginning.test(this.#escape)) this.state = 'wrong';
    } else if (character === '\\') {
      this.#escape = character;
    } else if (character === '"') {
      this.state = 'plain';
      if (this.#isKey) this.#expected = ':';
      else this.#endValue(true);
    } else if (character < ' ') {
      this.state = 'wrong';
    }
  }

  #readPlain(character: string): void {
    if (/[-+.\w]/.test(character)) {
      if (this.#expected !== 'value' && this.#expected !== 'value or ]') this.state = 'wrong';
      this.#scalar += character;
      return;
    }
    if (this.#scalar !== '') {
      if (!scalarForm.test(this.#scalar)) {
        this.state = 'wrong';
        return;
      }
      this.#scalar = '';
      this.#endValue(false);
    }
    if (' \t\r\n'.includes(character)) return;
    this.#readMark(character);
  }

  #readMark(character: string): void {
    const expected = this.#expected;
    const takesValue = expected === 'value' || expected === 'value or ]';
    const takesKey = expected === 'key' || expected === 'key or }';
    const innermost = this.#open.at(-1);
    if (character === '"' && (takesValue || takesKey)) {
      this.#isKey = takesKey;
      this.state = 'string';
    } else if ((character === '{' || character === '[') && takesValue) {
      this.#open.push(character);
      this.#expected = character === '{' ? 'key or }' : 'value or ]';
    } else if (character === ':' && expected === ':') {
      this.#expected = 'value';
    } else if (character === ',' && expected === ', or end' && innermost !== undefined) {
      this.#expected = innermost === '{' ? 'key' : 'value';
    } else if (character === '}' && innermost === '{' && (expected === ', or end' || expected === 'key or }')) {
      this.#close();
    } else if (character === ']' && innermost === '[' && (expected === ', or end' || expected === 'value or ]')) {
      this.#close();
    } else {
      this.state = 'wrong';
    }
  }

  #close(): void {
    this.#open.pop();
    this.#endValue(true);
  }

  /** A scalar at the top is followed by a character that is not its own, and so is not whole as the others are. */
  #endValue(isDelimited: boolean): void {
    this.#expected = ', or end';
    if (this.#open.length === 0 && isDelimited) this.state = 'whole';
  }
}

const escapeForm = /^\\(?:["\\/bfnrt]|u[\dA-Fa-f]{4})$/;
const escapeBeginning = /^\\u[\dA-Fa-f]{0,3}$/;
const scalarForm = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;
