// How hard to think, in the words of every dialect of the API.
//
// Owns the one table of their names: DeepSeek's levels, and the names of OpenAI's and Anthropic's that stand for one of them.

import type { Thinking } from './chat-request.ts';

export const efforts = {
  none: 'off',
  minimal: 'low',
  low: 'low',
  medium: 'high',
  high: 'high',
  xhigh: 'high',
  max: 'max',
  ultra: 'max',
} as const satisfies Record<string, Thinking>;

export const effortNames = Object.keys(efforts) as (keyof typeof efforts)[];
