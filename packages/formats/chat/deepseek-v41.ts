// The chat encoding of DeepSeek-V4.1: a conversation to the text that the model reads.
//
// Owns what V4.1 changed: tags with a space before their name, a token before system messages, and efforts as numbers. The rest
// is the family's. Images are not rendered here, and their placeholder is no text that anybody may write.

import { imagePlaceholder, systemTurn } from '../special-tokens.ts';
import { familyDialect } from './deepseek-v4-family.ts';
import type { Effort } from './dialect.ts';

/**
 * Any number from 1 to 100 is a valid prompt. These are the names' numbers in the first release of V4.1's encoder, which other
 * servers took over; a later revision of it is said to have 50, 75 and 100.
 */
const effortBudgets: Readonly<Record<Effort, number>> = { low: 25, high: 50, max: 100 };

export const deepseekV41 = familyDialect({
  callsTag: ' calls',
  systemTurn,
  reserved: [imagePlaceholder],
  // A model that thinks is always told how hard.
  effortText: (effort = 'high') =>
    `Reasoning Effort: ${effortBudgets[effort]} (range 1-100, the higher the value, the more thorough the reasoning)\n\n`,
});
