// From texts to a model's tokens, as far as they fit.
//
// Owns the check against the model's context and vocabulary, and the token that every text begins with. Knows nothing of
// conversations.

import type { Engine } from '@hadal/engine/engine';
import type { ChatDialect } from '@hadal/formats/chat/dialect';
import { beginOfSentence } from '@hadal/formats/special-tokens';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import { type RequestError, requestError } from '@hadal/protocol/request-error';

export class PromptEncoder {
  /** What conversations begin with, before any word, where there is such a token: text begins with it too. */
  readonly beginTokens: readonly number[];
  readonly #tokenizer: Tokenizer;
  readonly #contextLength: number;
  readonly #vocabularySize: number;
  readonly #longestToken: number;

  constructor({ tokenizer, model }: Engine, dialect: ChatDialect) {
    this.#tokenizer = tokenizer;
    this.#contextLength = model.contextLength;
    this.#vocabularySize = model.vocabularySize;
    this.#longestToken = longestTokenBytes(tokenizer);
    const { segments } = dialect.prompt([{ role: 'user', content: 'hello' }], { thinking: false });
    const [first] = tokenizer.encode(segments[0]?.text ?? '');
    this.beginTokens = first !== undefined && first === tokenizer.tokenId(beginOfSentence) ? [first] : [];
  }

  /**
   * Special tokens in the text become their ids. Throws `RequestError` where `limit` or the model's context leaves no room for
   * `completion` tokens.
   */
  encode(prompt: string, completion: number, limit = this.#contextLength): number[] {
    // What cannot fit even in the longest tokens need not be encoded, which could take minutes.
    const atLeast = Math.ceil(prompt.length / this.#longestToken);
    if (atLeast > this.room(limit)) throw this.#tooLong(atLeast, completion, limit);
    const tokens = this.#tokenizer.encode(prompt);
    this.checkRoom(tokens.length, completion, limit);
    return tokens;
  }

  checkRoom(prompt: number, completion: number, limit: number): void {
    if (prompt + completion > this.room(limit)) throw this.#tooLong(prompt, completion, limit);
  }

  /** Tokens, prompt and completion together, that a request may have where `limit` is allowed. */
  room(limit: number): number {
    return Math.min(limit, this.#contextLength);
  }

  /** `field` is where the caller wrote them. */
  checkIds(ids: Iterable<number>, field: string): void {
    for (const id of ids) {
      if (id < this.#vocabularySize) continue;
      const problem = `expected token ids below ${this.#vocabularySize}, got ${id}`;
      throw requestError('invalid-field', { field, problem });
    }
  }

  #tooLong(prompt: number, completion: number, limit: number): RequestError {
    return requestError('context-exceeded', {
      ...{ limit: this.room(limit), requested: prompt + completion, prompt, completion },
    });
  }
}

function longestTokenBytes(tokenizer: Tokenizer): number {
  let longest = 1;
  for (let id = 0; id < tokenizer.vocabularySize; id++) longest = Math.max(longest, tokenizer.bytes(id).length);
  return longest;
}
