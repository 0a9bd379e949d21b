// How many tokens a text has, near enough to charge for it where nobody else has counted.
//
// Owns the counting, by a tokenizer that may be another model's than the one that answered, and how a conversation is rendered for
// it. Its time is bounded and never held in one piece, as it is the HTTP thread's: of a long text parts stand for the whole. Knows
// no upstream.

import { setImmediate } from 'node:timers/promises';
import { chooseDialect } from '@hadal/formats/chat/choose-dialect';
import { type ChatDialect, promptText } from '@hadal/formats/chat/dialect';
import type { Checkpoint } from '@hadal/formats/checkpoint';
import type { ChatRequest } from '@hadal/protocol/chat-request';
import { RequestError } from '@hadal/protocol/request-error';
import { renderChat } from '../chat-prompt.ts';

export interface TokenCounter {
  text(text: string): Promise<number>;
  /** Of the prompt that the request would be answered to. */
  chat(request: ChatRequest): Promise<number>;
}

const pieceLength = 1024;
/** Of a text that has more, as many from all over it are counted. */
const maxPieces = 64;

/**
 * Reads the checkpoint's tokenizer and chat template. `finer`: into how many tokens it cuts what is one token of the models that are
 * counted for. Throws an Error of one line where either is missing.
 */
export function openTokenCounter(checkpoint: Checkpoint, finer = 1): TokenCounter {
  const tokenizer = checkpoint.tokenizer();
  const template = checkpoint.chatTemplate();
  const dialect = chooseDialect({ config: checkpoint.config(), template, tokenizer });

  async function text(whole: string): Promise<number> {
    const pieces = Math.ceil(whole.length / pieceLength);
    let tokens = 0;
    let length = 0;
    for (let place = 0; place < pieces; place += Math.max(1, pieces / maxPieces)) {
      const begin = Math.floor(place) * pieceLength;
      const piece = whole.slice(begin, begin + pieceLength);
      tokens += tokenizer.encode(piece).length;
      length += piece.length;
      await setImmediate();
    }
    return length === 0 ? 0 : Math.max(1, Math.round((tokens * whole.length) / length / finer));
  }

  return { text, chat: (request) => text(renderedText(request, dialect)) };
}

function renderedText(request: ChatRequest, dialect: ChatDialect): string {
  try {
    return promptText(renderChat(request, dialect));
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    // What this template does not take, the upstream's has taken.
    return JSON.stringify([request.tools, request.messages]);
  }
}
