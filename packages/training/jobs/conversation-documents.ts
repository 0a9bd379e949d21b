// Conversations as documents for training.
//
// Owns which tokens of a rendered conversation are learned: those that the model writes itself, in the messages that are to be
// learned. Renders with the model's own dialect, as serving does, so that the two cannot disagree.

import type { ChatDialect, Segment } from '@hadal/formats/chat/dialect';
import type { ChatMessage, ToolSchema } from '@hadal/formats/chat/message';
import type { Tokenizer } from '@hadal/formats/tokenizer';
import type { PreferenceRow } from '@hadal/protocol/training-rows';
import type { TrainingDocument } from '../packing.ts';
import { toolSchemaOf } from './prompts.ts';

export interface Renderer {
  readonly tokenizer: Tokenizer;
  readonly dialect: ChatDialect;
}

/** What is said, and of each message whether it is learned: an assistant's alone can be. */
export interface Conversation {
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly ToolSchema[];
  readonly thinking: boolean;
  readonly isLearned: readonly boolean[];
}

/** All of it, at most `limit` tokens. */
export function conversationDocument(
  { messages, tools, thinking, isLearned }: Conversation,
  renderer: Renderer,
  limit: number,
): TrainingDocument {
  const { segments } = renderer.dialect.prompt(messages, { thinking, tools });
  // One stretch of output for each of the assistant's messages; a template may show the last ones only.
  const turns = messages.flatMap((message, i) =>
    message.role === 'assistant' ? [{ message, isLearned: isLearned[i] }] : [],
  );
  const outputs = segments.filter(({ isOutput }) => isOutput).length;
  let turn = turns.length - outputs;
  const shown = segments.map((segment): Segment => {
    if (!segment.isOutput) return segment;
    const { message, isLearned: isWanted } = turns[turn++] ?? {};
    // An answer that stands there without the reasoning that led to it is no example of answering.
    const isWhole = thinking === false || segment.text.includes(message?.reasoning ?? '');
    return { ...segment, isOutput: isWanted === true && isWhole };
  });
  return documentOf(shown, renderer, limit);
}

/** The two answers of a preference, each after the same prompt, of which nothing is learned. */
export function preferenceDocuments(
  { messages, tools, thinking, preferred, rejected }: PreferenceRow,
  renderer: Renderer,
  limit: number,
): readonly [preferred: TrainingDocument, rejected: TrainingDocument] {
  const answered = (answer: PreferenceRow['preferred']) =>
    conversationDocument(
      {
        ...{ messages: [...messages, ...answer], tools: tools.map(toolSchemaOf), thinking },
        isLearned: [...messages.map(() => false), ...answer.map(() => true)],
      },
      renderer,
      limit,
    );
  return [answered(preferred), answered(rejected)];
}

function documentOf(segments: readonly Segment[], { tokenizer }: Renderer, limit: number): TrainingDocument {
  const tokens: number[] = [];
  const weights: number[] = [];
  for (const { text, isOutput } of segments) {
    for (const token of tokenizer.encode(text)) {
      tokens.push(token);
      weights.push(isOutput ? 1 : 0);
    }
  }
  return { tokens: tokens.slice(0, limit), weights: weights.slice(0, limit) };
}

/** Tokens of a document that are learned. */
export function learnedTokens({ weights }: TrainingDocument): number {
  return weights.reduce((sum, weight, i) => sum + (i > 0 && weight > 0 ? 1 : 0), 0);
}
