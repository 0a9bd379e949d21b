// Lists on the wire: which page of one is asked for, and how a page is shown.
//
// Owns the query of every list, in OpenAI's way (`after`, `limit`, `order`) and in Anthropic's (`after_id`, `before_id`), and
// the envelope around the rows. Knows nothing of rows.

import { z } from 'zod';
import { requestError } from './request-error.ts';
import { expecting } from './sampling-fields.ts';
import { checkShape } from './shape-error.ts';

export interface ListPage {
  readonly limit: number;
  readonly order: 'asc' | 'desc';
  readonly after?: string | undefined;
  readonly before?: string | undefined;
}

export interface ListDefaults {
  readonly limit: number;
  readonly maxLimit: number;
  readonly order: 'asc' | 'desc';
}

type Query = Readonly<Record<string, string | undefined>>;

/** Throws `RequestError` for the first mistake. */
export function parseListPage(query: Query, { limit, maxLimit, order }: ListDefaults): ListPage {
  const wire = checkShape(z.object({ ...limitOf(maxLimit), order: z.enum(['asc', 'desc']).optional() }), query);
  return { limit: wire.limit ?? limit, order: wire.order ?? order, after: query.after };
}

/** Anthropic's lists begin with the newest. Throws `RequestError` for the first mistake. */
export function parseAnthropicListPage(query: Query, { limit, maxLimit }: Omit<ListDefaults, 'order'>): ListPage {
  const wire = checkShape(z.object(limitOf(maxLimit)), query);
  const { page, after_id: after = page, before_id: before } = query;
  if (after !== undefined && before !== undefined) {
    throw requestError('invalid-field', { field: 'before_id', problem: 'cannot be set together with after_id' });
  }
  return { limit: wire.limit ?? limit, order: 'desc', after, before };
}

/** Of a list without ids: `after` counts. Throws `RequestError` for the first mistake. */
export function parseRolloutPage(query: Query): {
  readonly step: number | undefined;
  readonly limit: number;
  readonly after: number;
} {
  const wording = expecting('integer of at least 0');
  const count = z.coerce.number(wording).int(wording).min(0, wording).optional();
  const wire = checkShape(z.object({ ...limitOf(1000), step: count, after: count }), query);
  return { step: wire.step, limit: wire.limit ?? 256, after: wire.after ?? 0 };
}

function limitOf(maxLimit: number) {
  const wording = expecting(`integer from 1 to ${maxLimit}`);
  return { limit: z.coerce.number(wording).int(wording).min(1, wording).max(maxLimit, wording).optional() };
}

export interface WireList<T> {
  readonly object: 'list';
  readonly data: readonly T[];
  readonly first_id: string | null;
  readonly last_id: string | null;
  readonly has_more: boolean;
}

export function wireList<T extends { readonly id: string }>(data: readonly T[], hasMore: boolean): WireList<T> {
  return { object: 'list', data, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null, has_more: hasMore };
}

/** Without a name for what it is, and with what newer clients go on with, as `page`. */
export function anthropicList<T extends { readonly id: string }>(data: readonly T[], hasMore: boolean) {
  const { object: _, ...list } = wireList(data, hasMore);
  return { ...list, next_page: hasMore ? list.last_id : null };
}
