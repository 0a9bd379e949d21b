// How the text of an option becomes a value.
//
// Owns the ranges that the command line accepts. A value outside is the caller's mistake, told by commander together with
// the option's name.

import { parseMoney } from '@hadal/protocol/account';
import { InvalidArgumentError } from 'commander';

/** Parses whole numbers from `low` to `high`. */
export function integerFrom(low: number, high = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= low && value <= high) return value;
    const range = high === Number.MAX_SAFE_INTEGER ? `of at least ${low}` : `from ${low} to ${high}`;
    throw new InvalidArgumentError(`expected a whole number ${range}.`);
  };
}

/** Parses numbers from `low` to `high`. */
export function numberFrom(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && value >= low && value <= high) return value;
    throw new InvalidArgumentError(`expected a number from ${low} to ${high}.`);
  };
}

/** Names with commas between. */
export function list(text: string): string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.every((name) => name !== '')) return names;
  throw new InvalidArgumentError('expected names with commas between.');
}

/** An amount such as 12.50, in whole millionths. */
export function moneyFrom(text: string): number {
  const amount = parseMoney(text);
  if (amount !== undefined) return amount;
  throw new InvalidArgumentError('expected an amount such as 20 or 0.5, with up to six digits after the point.');
}

export function serverUrl(text: string): URL {
  const url = URL.parse(text);
  if (url !== null && (url.protocol === 'http:' || url.protocol === 'https:')) return url;
  throw new InvalidArgumentError('expected an address such as http://127.0.0.1:10935.');
}
