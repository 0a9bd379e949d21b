// A model that knows nothing: it takes any allowed token.
//
// Owns the way in which tests explore a constraint. Checks at every step what must hold whatever the constraint is: there is
// a token to take, forced tokens are the only ones allowed, and each allowed token is accepted. Used by tests and benches only.

import { dsml } from '@hadal/formats/special-tokens';
import { openTokenizer, type Tokenizer } from '@hadal/formats/tokenizer';
import { type CompiledConstraint, type Constraint, type ConstraintSpec, compileConstraint } from '../constraint.ts';
import { hasBit, TokenMasks } from '../token-masks.ts';
import { makeVocabulary, type Vocabulary } from '../vocabulary.ts';

export interface Language {
  readonly tokenizer: Tokenizer;
  readonly vocabulary: Vocabulary;
  readonly masks: TokenMasks;
  readonly stop: number;
}

/** hadal-nano's tokenizer, ready for constraints. */
export function nanoLanguage(): Language {
  const path = new URL('../../../../models/hadal-nano/tokenizer.json', import.meta.url).pathname;
  return languageOf(openTokenizer(path));
}

export function languageOf(tokenizer: Tokenizer, stop = 1): Language {
  const vocabulary = makeVocabulary({ tokenizer, stopTokens: [stop] });
  return { tokenizer, vocabulary, masks: new TokenMasks(vocabulary), stop };
}

export function compiled(spec: ConstraintSpec, { vocabulary, masks }: Language): Constraint {
  const result = compileConstraint(spec, vocabulary, masks);
  if (result.type === 'refused') throw new Error(`${result.tool ?? ''}${result.pointer}: ${result.reason}`);
  return result.constraint;
}

export function refusal(
  spec: ConstraintSpec,
  { vocabulary, masks }: Language,
): Extract<CompiledConstraint, { type: 'refused' }> {
  const result = compileConstraint(spec, vocabulary, masks);
  if (result.type === 'compiled') throw new Error('expected a refusal, it compiled');
  return result;
}

export interface Walk {
  readonly tokens: readonly number[];
  readonly text: string;
  /** Whether it came to its end. */
  readonly isOver: boolean;
}

/** At most `length` tokens; past `patience` of them it takes what ends values where it can. */
export function walk(
  constraint: Constraint,
  language: Language,
  next: () => number,
  length = 300,
  patience = 40,
): Walk {
  const { vocabulary, tokenizer, stop } = language;
  const mask = new Uint32Array(vocabulary.maskLength);
  const matcher = constraint.matcher();
  const mark = tokenizer.tokenId(dsml);
  const closing = [
    ...['"', '}', ']', '"}', '"]', '</'].map((text) => vocabulary.encode(text)[0]!),
    ...(mark === undefined ? [] : [mark]),
  ];
  const tokens: number[] = [];
  while (tokens.length < length && !matcher.isOver) {
    matcher.mask(mask);
    const allowed = allowedTokens(mask);
    const text = () => JSON.stringify(tokenizer.decode(tokens));
    if (allowed.length === 0) throw new Error(`no token may follow ${text()}`);
    const [forced] = matcher.forced();
    if (forced !== undefined && (allowed.length !== 1 || allowed[0] !== forced)) {
      throw new Error(`after ${text()}: ${forced} is forced, ${allowed.length} tokens are allowed`);
    }
    const isTired = tokens.length > patience && next() < 0.7;
    const ends = isTired ? closing.filter((token) => hasBit(mask, token)) : [];
    const mayStop = hasBit(mask, stop) && next() < (isTired ? 1 : 0.3);
    const choices = ends.length > 0 ? ends : allowed;
    const token = mayStop ? stop : choices[Math.floor(next() * choices.length)]!;
    if (!matcher.accept(token)) throw new Error(`after ${text()}: token ${token} is allowed and not accepted`);
    if (token !== stop) tokens.push(token);
  }
  return { tokens, text: tokenizer.decode(tokens), isOver: matcher.isOver };
}

export function allowedTokens(mask: Uint32Array): number[] {
  const tokens: number[] = [];
  for (const [i, bits] of mask.entries()) {
    for (let word = bits; word !== 0; word &= word - 1) tokens.push(32 * i + 31 - Math.clz32(word & -word));
  }
  return tokens;
}

/** Whether the bytes of a text can be read from beginning to end. */
export function isComplete(constraint: Constraint, text: string, { tokenizer, vocabulary }: Language): boolean {
  // Byte by byte: each byte is a token of every byte-level vocabulary, but what is forced must be taken as it comes.
  const matcher = constraint.matcher();
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; ) {
    const forced = matcher.forced()[0];
    const token = forced ?? longestToken(bytes, at, vocabulary, tokenizer, (id) => matcher.accept(id));
    if (token === undefined) return false;
    const spelled = tokenizer.bytes(token);
    if (forced !== undefined) {
      if (!spelled.every((byte, i) => bytes[at + i] === byte) || !matcher.accept(token)) return false;
    }
    at += spelled.length;
  }
  return matcher.canEnd;
}

/** Accepts the single byte at a place, and says which token that was. */
function longestToken(
  bytes: Uint8Array,
  at: number,
  { size }: Vocabulary,
  tokenizer: Tokenizer,
  accept: (id: number) => boolean,
): number | undefined {
  for (let id = 0; id < size; id++) {
    const spelled = tokenizer.bytes(id);
    if (spelled.length === 1 && spelled[0] === bytes[at] && accept(id)) return id;
  }
  return undefined;
}
