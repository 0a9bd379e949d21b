// What an answer costs.
//
// Owns prices by model and by window of the week, with holidays, and the arithmetic: whole millionths of a currency, never
// floating point, rounded once, at the end. The time that counts is when the answer ended, as on DeepSeek. Knows no balances.

import type { Usage } from '@hadal/protocol/chat-event';
import { trainedFrom } from '@hadal/protocol/fine-tuning';

/** For a million tokens, in millionths of the currency. */
export interface Price {
  readonly cacheHit: number;
  readonly cacheMiss: number;
  readonly output: number;
}

export const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Weekday = (typeof weekdays)[number];

/** A time of the week at which something else is paid. */
export interface PriceWindow {
  readonly days: readonly Weekday[];
  /** Whether holidays are such days too, whatever day of the week they are, or never, or nothing else is. */
  readonly holidays: 'as-weekdays' | 'never' | 'only';
  /** Minutes of the day; where `to` is not after `from`, it goes on into the next day. */
  readonly from: number;
  readonly to: number;
  /** Of the price, where the window has none of its own. */
  readonly percent: number;
  readonly price: Price | undefined;
}

export interface ModelPrice extends Price {
  /** The first that fits counts. */
  readonly windows: readonly PriceWindow[];
}

export interface PriceList {
  /** Such as CNY. */
  readonly currency: string;
  /** Of the time zone in which windows are meant. */
  readonly clock: Intl.DateTimeFormat;
  /** Such as 2026-10-01. */
  readonly holidays: ReadonlySet<string>;
  /** What a line of a batch costs, of what it would cost otherwise. */
  readonly batchPercent: number;
  readonly models: ReadonlyMap<string, ModelPrice>;
}

/** Everything is free. */
export const noPrices: PriceList = {
  ...{ currency: 'USD', holidays: new Set<string>(), batchPercent: 50, models: new Map() },
  clock: openClock('UTC') as Intl.DateTimeFormat,
};

/** One that a job has made costs what it was made of. */
export function priceOf(list: PriceList, model: string): ModelPrice | undefined {
  return list.models.get(model) ?? list.models.get(trainedFrom(model) ?? '');
}

/** In millionths of the list's currency. A model without a price costs nothing. */
export function costOf(
  list: PriceList,
  {
    model,
    usage,
    endedMs,
    isBatch,
  }: {
    readonly model: string;
    readonly usage: Pick<Usage, 'prompt' | 'cacheHit' | 'completion'>;
    readonly endedMs: number;
    readonly isBatch: boolean;
  },
): number {
  const entry = priceOf(list, model);
  if (entry === undefined) return 0;
  const window = windowAt(list, entry, endedMs);
  const { cacheHit, cacheMiss, output } = window?.price ?? entry;
  const tokens = (count: number, price: number) => BigInt(count) * BigInt(price);
  const { prompt, completion } = usage;
  const sum =
    tokens(usage.cacheHit, cacheHit) + tokens(prompt - usage.cacheHit, cacheMiss) + tokens(completion, output);
  const percent = BigInt(window?.price === undefined ? (window?.percent ?? 100) : 100);
  const scaled = sum * percent * BigInt(isBatch ? list.batchPercent : 100);
  // Two percentages, and prices for a million tokens.
  const unit = 100n * 100n * 1_000_000n;
  return Number((scaled + unit / 2n) / unit);
}

function windowAt(list: PriceList, { windows }: ModelPrice, atMs: number): PriceWindow | undefined {
  if (windows.length === 0) return undefined;
  const today = localTime(list.clock, atMs);
  // What began yesterday and goes on counts by yesterday's day.
  const yesterday = localTime(list.clock, atMs - today.minute * 60_000 - 3_600_000);
  return windows.find((window) => {
    const isOvernight = window.to <= window.from;
    if (isDay(list, window, today) && today.minute >= window.from && (isOvernight || today.minute < window.to))
      return true;
    return isOvernight && isDay(list, window, yesterday) && today.minute < window.to;
  });
}

interface LocalTime {
  readonly date: string;
  readonly weekday: Weekday;
  readonly minute: number;
}

function isDay({ holidays }: PriceList, { days, holidays: rule }: PriceWindow, { date, weekday }: LocalTime): boolean {
  const isHoliday = holidays.has(date);
  switch (rule) {
    case 'only':
      return isHoliday;
    case 'never':
      return !isHoliday && days.includes(weekday);
    case 'as-weekdays':
      return days.includes(weekday);
    default:
      return unreachable(rule);
  }
}

/** How times are told where prices change; undefined for a zone that there is not. */
export function openClock(timeZone: string): Intl.DateTimeFormat | undefined {
  try {
    return new Intl.DateTimeFormat('en-GB', {
      ...{ timeZone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
      ...{ year: 'numeric', month: '2-digit', day: '2-digit' },
    });
  } catch {
    return undefined;
  }
}

function localTime(format: Intl.DateTimeFormat, atMs: number): LocalTime {
  const parts = Object.fromEntries(format.formatToParts(atMs).map(({ type, value }) => [type, value]));
  return {
    date: `${parts.year}-${parts.month}-${parts.day}`,
    weekday: (parts.weekday ?? '').toLowerCase() as Weekday,
    minute: Number(parts.hour) * 60 + Number(parts.minute),
  };
}

function unreachable(value: never): never {
  throw new Error(`expected a known rule, got ${JSON.stringify(value)}`);
}
