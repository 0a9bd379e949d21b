// The body of `POST /embeddings`, and why it is refused.
//
// Owns what a caller is told where none of the models has embeddings: mistakes first, as anywhere else.

import { z } from 'zod';
import { cardNamed, type ModelCard } from './models.ts';
import { requestError } from './request-error.ts';
import { modelName } from './sampling-fields.ts';
import { checkShape } from './shape-error.ts';

export const embeddingsBody = z.object({ model: modelName, input: z.unknown() });

/** Always throws `RequestError`. */
export function refuseEmbedding(body: unknown, cards: readonly ModelCard[]): never {
  const { model } = checkShape(embeddingsBody, body);
  throw requestError('embeddings-unsupported', { model: cardNamed(cards, model).id });
}
