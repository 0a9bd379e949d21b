// config.json as its schema reads it.
//
// Owns how a configuration is refused: one line with the file, the key, and what is wrong with it.

import type { z } from 'zod';

/** `json` as `schema` reads it; throws `WHERE: key: problem` otherwise. */
export function parseConfig<S extends z.ZodType>(schema: S, json: unknown, where: string): z.output<S> {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new Error(`${where}: ${issue?.path.join('.')}: ${issue?.message}`);
}
