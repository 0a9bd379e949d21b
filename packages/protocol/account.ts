// Money and usage on the wire.
//
// Owns how an organization is shown its balance, DeepSeek's way, and its usage; and what of the usage may be asked for. Amounts
// come in whole millionths and go out as texts. Knows no prices.

import { requestError } from './request-error.ts';

export interface BalanceInfo {
  readonly currency: string;
  /** In millionths. */
  readonly granted: number;
  readonly toppedUp: number;
}

/** `110.5` is `110.50`, `0.000001` is itself: two digits after the point, or as many as there are. */
export function moneyText(millionths: number): string {
  const sign = millionths < 0 ? '-' : '';
  const digits = String(Math.abs(millionths)).padStart(7, '0');
  const fraction = digits.slice(-6).replace(/0{1,4}$/, '');
  return `${sign}${digits.slice(0, -6)}.${fraction}`;
}

/** Millionths of what a decimal text says; undefined where it is no such text or has more than six digits after the point. */
export function parseMoney(text: string): number | undefined {
  const [, sign, whole, fraction = ''] = /^([+-]?)(\d{1,9})(?:\.(\d{1,6}))?$/.exec(text.trim()) ?? [];
  if (whole === undefined) return undefined;
  const amount = Number(whole) * 1_000_000 + Number(fraction.padEnd(6, '0'));
  return sign === '-' ? -amount : amount;
}

/** DeepSeek API reference, user balance. */
export function wireBalance(balances: readonly BalanceInfo[]) {
  const total = ({ granted, toppedUp }: BalanceInfo) => granted + toppedUp;
  return {
    // Who was never given anything need not pay.
    is_available: balances.length === 0 || balances.some((balance) => total(balance) > 0),
    balance_infos: balances.map((balance) => ({
      currency: balance.currency,
      total_balance: moneyText(total(balance)),
      granted_balance: moneyText(balance.granted),
      topped_up_balance: moneyText(balance.toppedUp),
    })),
  };
}

export const usageAxes = ['day', 'key', 'model', 'user', 'operation'] as const;
export type UsageAxis = (typeof usageAxes)[number];

export interface UsageAsked {
  readonly fromMs: number;
  /** The end of the last day. */
  readonly toMs: number;
  readonly by: readonly UsageAxis[];
}

const dayMs = 86_400_000;

/** Throws `RequestError` for the first mistake. */
export function parseUsageQuery(query: Readonly<Record<string, string | undefined>>, nowMs: number): UsageAsked {
  const day = (field: 'from' | 'to', usual: number) => {
    const text = query[field];
    if (text === undefined) return Math.floor(usual / dayMs) * dayMs;
    const at = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(text) : Number.NaN;
    if (!Number.isNaN(at)) return at;
    throw requestError('invalid-field', { field, problem: `expected a day such as "2026-11-26", got "${text}"` });
  };
  const by = (query.by ?? 'day,model').split(',').filter((name) => name !== '');
  const unknown = by.find((name) => !(usageAxes as readonly string[]).includes(name));
  if (unknown !== undefined) {
    const problem = `expected some of ${usageAxes.join(', ')}, got "${unknown}"`;
    throw requestError('invalid-field', { field: 'by', problem });
  }
  const toMs = day('to', nowMs) + dayMs;
  return { fromMs: day('from', toMs - 31 * dayMs), toMs, by: [...new Set(by)] as UsageAxis[] };
}

export interface UsageSum {
  readonly axes: Readonly<Partial<Record<UsageAxis, string>>>;
  readonly requests: number;
  readonly cacheHit: number;
  readonly cacheMiss: number;
  readonly completion: number;
  readonly reasoning: number;
  readonly cost: number;
  /** Of the cost, what was taken from what is granted. */
  readonly grantedCost: number;
  readonly currency: string;
}

export function wireUsageSums(sums: readonly UsageSum[]) {
  return {
    object: 'list' as const,
    data: sums.map(({ axes, requests, cacheHit, cacheMiss, completion, reasoning, cost, currency }) => ({
      ...{ ...axes, requests, prompt_cache_hit_tokens: cacheHit, prompt_cache_miss_tokens: cacheMiss },
      ...{ completion_tokens: completion, reasoning_tokens: reasoning, cost: moneyText(cost), currency },
    })),
  };
}
