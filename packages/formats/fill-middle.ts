// Fill-in-the-middle prompts: the model writes what belongs between a prefix and a suffix.
//
// Owns DeepSeek's order of the parts (prefix, suffix, middle). Knows nothing about code or chat. Prompt and training text
// share one rendering, so that a model is asked exactly as it was taught.

import type { Segment } from './chat/dialect.ts';
import { beginOfSentence, endOfSentence, fimBegin, fimEnd, fimHole } from './special-tokens.ts';

/** The prompt after which a model writes the middle. DeepSeek-Coder, Guo et al. 2024, section 3.1. */
export function encodeFillMiddle(prefix: string, suffix: string): string {
  return `${beginOfSentence}${fimBegin}${prefix}${fimHole}${suffix}${fimEnd}`;
}

/** The prompt and, as output, the middle with its end-of-sentence token. */
export function renderFillMiddle(prefix: string, middle: string, suffix: string): Segment[] {
  return [
    { text: encodeFillMiddle(prefix, suffix), isOutput: false },
    { text: middle + endOfSentence, isOutput: true },
  ];
}
