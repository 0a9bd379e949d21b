// What callers attach to an object to find it again by.
//
// Owns its bounds, which are OpenAI's. Knows no object.

import { z } from 'zod';
import { expecting } from './sampling-fields.ts';
import { checkShape } from './shape-error.ts';

const key = expecting('keys of 1 to 64 characters');
const value = expecting('string of at most 512 characters');

export const metadataField = z
  .record(z.string().min(1, key).max(64, key), z.string(value).max(512, value))
  .refine((metadata) => Object.keys(metadata).length <= 16, expecting('at most 16 keys'));

export const metadataBody = z.object({
  metadata: metadataField.nullable().describe('Takes the place of all there was; null: of nothing.'),
});

/** A body that changes nothing but what is attached. Throws `RequestError` for the first mistake. */
export function parseMetadataChange(body: unknown): Readonly<Record<string, string>> {
  return checkShape(metadataBody, body).metadata ?? {};
}

/** What a list is to be narrowed by: `metadata[key]=value`, any number of times. */
export function parseMetadataQuery(
  query: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  const pairs = Object.entries(query).flatMap(([name, text]) => {
    const [, inner] = /^metadata\[(.+)\]$/.exec(name) ?? [];
    return inner === undefined || text === undefined ? [] : [[inner, text] as const];
  });
  return Object.fromEntries(pairs);
}
