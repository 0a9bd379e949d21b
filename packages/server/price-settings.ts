// Prices as they stand in a configuration file.
//
// Owns their form there: amounts as people write them, times of the day as on a clock. What they mean is `prices.ts`'s.

import { parseMoney } from '@hadal/protocol/account';
import { expecting } from '@hadal/protocol/sampling-fields';
import { z } from 'zod';
import { type ModelPrice, noPrices, openClock, type PriceList, type PriceWindow, weekdays } from './prices.ts';

const amount = z
  .union([z.number(), z.string()], expecting('an amount such as 0.55, for a million tokens'))
  .transform((value) => parseMoney(String(value)) ?? -1)
  .refine((value) => value >= 0, expecting('an amount of at least 0 with up to six digits after the point'));
const clock = z
  .string()
  .regex(/^([01]\d|2[0-3]):[0-5]\d$|^24:00$/, expecting('a time such as "09:30"'))
  .transform((text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3)));
const percent = expecting('whole number from 0 to 1000');
const percentage = z.int(percent).min(0, percent).max(1000, percent);

const window = z
  .strictObject({
    days: z.array(z.enum(weekdays)).min(1, expecting('at least one day')).optional(),
    holidays: z.enum(['as-weekdays', 'never', 'only']).optional(),
    from: clock,
    to: clock,
    percent: percentage.optional(),
    cache_hit: amount.optional(),
    cache_miss: amount.optional(),
    output: amount.optional(),
  })
  .refine(({ cache_hit, cache_miss, output, percent }) => {
    const own = [cache_hit, cache_miss, output].filter((value) => value !== undefined).length;
    return own === 3 ? percent === undefined : own === 0 && percent !== undefined;
  }, expecting('percent, or cache_hit, cache_miss and output'));

export const pricesSchema = z.strictObject({
  currency: z.string().regex(/^[A-Z]{3}$/, expecting('three letters such as CNY')),
  time_zone: z
    .string()
    .refine((zone) => openClock(zone) !== undefined, expecting('a time zone such as Asia/Shanghai'))
    .optional(),
  holidays: z.array(z.string().regex(/^\d{4}-\d\d-\d\d$/, expecting('a date such as "2026-10-01"'))).optional(),
  batch_percent: percentage.optional(),
  models: z.record(
    z.string(),
    z.strictObject({ cache_hit: amount, cache_miss: amount, output: amount, windows: z.array(window).optional() }),
  ),
});

export function priceListOf(wire: z.output<typeof pricesSchema> | null | undefined): PriceList {
  if (wire == null) return noPrices;
  const models = Object.entries(wire.models).map(([id, model]): [string, ModelPrice] => [
    id,
    {
      ...{ cacheHit: model.cache_hit, cacheMiss: model.cache_miss, output: model.output },
      windows: (model.windows ?? []).map(windowOf),
    },
  ]);
  return {
    currency: wire.currency,
    clock: openClock(wire.time_zone ?? 'UTC') ?? noPrices.clock,
    holidays: new Set(wire.holidays),
    batchPercent: wire.batch_percent ?? noPrices.batchPercent,
    models: new Map(models),
  };
}

function windowOf(wire: z.output<typeof window>): PriceWindow {
  const { cache_hit: cacheHit, cache_miss: cacheMiss, output } = wire;
  const isOwn = cacheHit !== undefined && cacheMiss !== undefined && output !== undefined;
  return {
    ...{ days: wire.days ?? weekdays, holidays: wire.holidays ?? 'as-weekdays', from: wire.from, to: wire.to },
    ...{ percent: wire.percent ?? 100, price: isOwn ? { cacheHit, cacheMiss, output } : undefined },
  };
}
