// The chat encoding of DeepSeek-V4: a conversation to the text that the model reads.
//
// Owns V4's name for the block of calls and its words for efforts. The rest is the family's.

import { type FamilyMember, familyDialect, type RenderOptions, renderSegments } from './deepseek-v4-family.ts';
import type { Effort, Segment } from './dialect.ts';
import type { ChatMessage } from './message.ts';

/** Which checkpoint's effort texts: the preview of April 2026 (the default), or the releases since 0731. */
export type EffortDialect = 'preview' | 'release';

export interface EncodeOptions extends RenderOptions {
  readonly effortDialect?: EffortDialect;
}

const thorough =
  'Reasoning Effort: Absolute maximum with no shortcuts permitted.\n' +
  'You MUST be very thorough in your thinking and comprehensively decompose the problem to resolve the root cause, ' +
  'rigorously stress-testing your logic against all potential paths, edge cases, and adversarial scenarios.\n' +
  'Explicitly write out your entire deliberation process, documenting every intermediate step, considered ' +
  'alternative, and rejected hypothesis to ensure absolutely no assumption is left unchecked.\n\n';

const relentless =
  'Reasoning Effort: Beyond maximum — exhaustive, relentless, and uncompromising.\n' +
  'You MUST reason with the utmost depth and rigor, leaving absolutely nothing to chance: exhaustively decompose the ' +
  'problem into its most fundamental components, trace every causal chain to its root, and resolve the underlying ' +
  'cause rather than any surface symptom.\n' +
  'Do not stop reasoning until you have independently verified the solution from multiple angles and are certain ' +
  'that no assumption remains unchecked and no error remains undiscovered.\n\n';

const effortTexts: Record<EffortDialect, Record<Effort, string>> = {
  preview: { low: '', high: '', max: thorough },
  release: { low: '', high: thorough, max: relentless },
};

export const deepseekV4 = familyDialect(member('preview'));

/** The prompt for `messages`, up to where the model goes on. Starts with the begin-of-sentence token. */
export function encodeMessages(messages: readonly ChatMessage[], options: EncodeOptions): string {
  return renderConversation(messages, options)
    .map((segment) => segment.text)
    .join('');
}

/** The same text as `encodeMessages`, in segments. */
export function renderConversation(
  messages: readonly ChatMessage[],
  { effortDialect = 'preview', ...options }: EncodeOptions,
): Segment[] {
  return renderSegments(messages, options, member(effortDialect));
}

/** Without an effort, nothing is said of it. */
function member(effortDialect: EffortDialect): FamilyMember {
  return {
    callsTag: 'tool_calls',
    systemTurn: '',
    reserved: [],
    effortText: (effort) => (effort === undefined ? '' : effortTexts[effortDialect][effort]),
  };
}
