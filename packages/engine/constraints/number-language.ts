// Numbers as JSON writes them, within bounds.
//
// Owns the automata of decimals that satisfy bounds, multiples and exceptions, exactly and digit by digit. Bounded numbers
// are written without an exponent and with at most 15 digits (integers: 19), so that a reader's float64 keeps them on
// their side of a bound. The number of digits is limited everywhere: a model that never stops counting must not be able to.

import { type Dfa, type Edge, explore } from './dfa.ts';
import { Refusal } from './refusal.ts';
import { textMatching } from './text-language.ts';

export interface NumberBounds {
  /** Integers, numbers that are none, or both. */
  readonly part: 'integer' | 'fraction' | 'any';
  readonly limits: readonly Limit[];
  /** The number divided by each of these is an integer. Above 0. */
  readonly multiples: readonly number[];
}

export interface Limit {
  readonly kind: 'at-least' | 'above' | 'at-most' | 'below' | 'other-than';
  readonly value: number;
}

/** Any number of JSON: below 10^20 times 10^99, so always finite. */
export const anyNumber: Dfa = textMatching('-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?', 'whole');
export const anyInteger: Dfa = textMatching('-?(0|[1-9][0-9]{0,18})', 'whole');

const maxStates = 20_000;

/** The texts of the numbers within the bounds, over ASCII. */
export function numbersWithin({ part, limits, multiples }: NumberBounds): Dfa {
  if (limits.length === 0 && multiples.length === 0 && part !== 'fraction') {
    return part === 'integer' ? anyInteger : anyNumber;
  }
  const steps = multiples.map(decimalOf);
  const context: Context = {
    part,
    maxDigits: part === 'integer' ? 19 : 15,
    digitsAfterPoint: steps.reduce(
      (least, { fraction }) => Math.min(least, fraction.length),
      part === 'integer' ? 0 : 15,
    ),
    steps: steps.map((step) => ({ divisor: BigInt(step.whole + step.fraction), scale: step.fraction.length })),
    // A number below 0 is a minus sign and a magnitude above 0, with the bounds in the mirror.
    positive: limits.map((limit) => magnitudeLimit(limit, 1)),
    negative: [...limits.map((limit) => magnitudeLimit(limit, -1)), { kind: 'above', ...decimalOf(0) }],
  };
  return explore<Reading>(
    {
      start: begin(undefined, context),
      key: ({ sign, phase, digits, fraction, isFraction, comparisons, residues }) =>
        [sign ?? 0, phase, digits, fraction, isFraction, comparisons.join(), residues.join()].join(';'),
      edges: (reading) => edgesFrom(reading, context),
      isAccepting: (reading) => isWithin(reading, context),
    },
    maxStates,
  );
}

/** Whether a value is within; the same question, asked of a number instead of its text. */
export function isNumberWithin(value: number, { part, limits, multiples }: NumberBounds): boolean {
  if (part !== 'any' && Number.isInteger(value) !== (part === 'integer')) return false;
  const isMultiple = (step: number) => {
    const [a, b] = [decimalOf(value), decimalOf(step)];
    const scale = Math.max(a.fraction.length, b.fraction.length);
    const scaled = ({ whole, fraction }: Decimal) => BigInt(whole + fraction.padEnd(scale, '0'));
    return scaled(a) % scaled(b) === 0n;
  };
  return multiples.every(isMultiple) && limits.every((limit) => holds(limit.kind, Math.sign(value - limit.value)));
}

/** The magnitude of a number in plain digits; no zero is superfluous. */
interface Decimal {
  readonly whole: string;
  readonly fraction: string;
}

type MagnitudeLimit = Decimal & { readonly kind: Limit['kind'] | 'always' | 'never' };

interface Context {
  readonly part: NumberBounds['part'];
  readonly maxDigits: number;
  readonly digitsAfterPoint: number;
  readonly steps: readonly { readonly divisor: bigint; readonly scale: number }[];
  readonly positive: readonly MagnitudeLimit[];
  readonly negative: readonly MagnitudeLimit[];
}

/** What has been read: enough to tell whether it is within, and what may follow. */
interface Reading {
  readonly sign: 1 | -1 | undefined;
  /** A leading zero is followed by no digit. */
  readonly phase: 'begin' | 'zero' | 'whole' | 'point' | 'fraction';
  readonly digits: number;
  readonly fraction: number;
  /** Whether a digit after the point is not 0. */
  readonly isFraction: boolean;
  /** For each limit: the digits so far against as many of the limit's. */
  readonly comparisons: readonly number[];
  readonly residues: readonly bigint[];
}

function begin(sign: 1 | -1 | undefined, { positive, negative, steps }: Context): Reading {
  return {
    ...{ sign, phase: 'begin', digits: 0, fraction: 0, isFraction: false },
    comparisons: (sign === -1 ? negative : positive).map(() => 0),
    residues: steps.map(() => 0n),
  };
}

function* edgesFrom(reading: Reading, context: Context): Generator<Edge<Reading>> {
  const { phase, sign, digits, fraction } = reading;
  if (phase === 'begin' && sign === undefined) yield [0x2d, 0x2d, begin(-1, context)];
  const mayEndWhole = phase === 'zero' || phase === 'whole';
  if (mayEndWhole && context.digitsAfterPoint > 0 && digits < context.maxDigits) {
    yield [0x2e, 0x2e, { ...reading, phase: 'point', comparisons: wholeCompared(reading, context) }];
  }
  if (phase === 'zero' || digits >= context.maxDigits) return;
  const isFraction = phase === 'point' || phase === 'fraction';
  if (isFraction && fraction >= context.digitsAfterPoint) return;
  for (let digit = 0; digit < 10; digit++) {
    const limits = limitsOf(reading, context);
    const place = isFraction ? fraction : digits;
    const comparisons = reading.comparisons.map((comparison, i) => {
      const text = isFraction ? limits[i]!.fraction : limits[i]!.whole;
      return comparison !== 0 ? comparison : Math.sign(digit - Number(text[place] ?? 0));
    });
    const next: Reading = {
      sign: sign ?? 1,
      phase: isFraction ? 'fraction' : phase === 'begin' && digit === 0 ? 'zero' : 'whole',
      digits: digits + 1,
      fraction: isFraction ? fraction + 1 : 0,
      isFraction: reading.isFraction || (isFraction && digit > 0),
      comparisons,
      residues: reading.residues.map((r, i) => (r * 10n + BigInt(digit)) % context.steps[i]!.divisor),
    };
    if (!isHopeless(next, context)) yield [0x30 + digit, 0x30 + digit, next];
  }
}

function isWithin(reading: Reading, context: Context): boolean {
  const { phase, fraction, residues } = reading;
  if (phase === 'begin' || phase === 'point') return false;
  if (context.part === 'fraction' && !reading.isFraction) return false;
  const limits = limitsOf(reading, context);
  const compared = phase === 'fraction' ? reading.comparisons : wholeCompared(reading, context);
  const isInBounds = limits.every((limit, i) => {
    const rest = limit.fraction.slice(fraction);
    return holds(limit.kind, compared[i] === 0 && rest !== '' ? -1 : compared[i]!);
  });
  const isMultiple = residues.every((residue, i) => {
    const { divisor, scale } = context.steps[i]!;
    return (residue * 10n ** BigInt(scale - fraction)) % divisor === 0n;
  });
  return isInBounds && isMultiple;
}

/** More digits only make a magnitude larger, so one that is too large already needs no more states. */
function isHopeless(reading: Reading, context: Context): boolean {
  if (reading.phase === 'fraction') return false;
  return limitsOf(reading, context).some(
    ({ kind, whole }, i) =>
      (kind === 'at-most' || kind === 'below') &&
      (reading.digits > whole.length || (reading.digits === whole.length && reading.comparisons[i]! > 0)),
  );
}

/** The comparison once no more digits come before the point: more digits make the larger number. */
function wholeCompared(reading: Reading, context: Context): number[] {
  return limitsOf(reading, context).map(({ whole }, i) => {
    return Math.sign(reading.digits - whole.length) || reading.comparisons[i]!;
  });
}

function limitsOf({ sign }: Reading, { positive, negative }: Context): readonly MagnitudeLimit[] {
  return sign === -1 ? negative : positive;
}

function magnitudeLimit({ kind, value }: Limit, sign: 1 | -1): MagnitudeLimit {
  const mirrored = { 'at-least': 'at-most', above: 'below', 'at-most': 'at-least', below: 'above' } as const;
  const here = sign === 1 || kind === 'other-than' ? kind : mirrored[kind];
  const decimal = decimalOf(value);
  const isOnOtherSide = value !== 0 && Math.sign(value) !== sign;
  if (!isOnOtherSide) return { kind: here, ...decimal };
  // A bound on the other side of zero holds for every magnitude on this side, or for none.
  return { kind: here === 'at-most' || here === 'below' ? 'never' : 'always', ...decimal };
}

function holds(kind: MagnitudeLimit['kind'], comparison: number): boolean {
  switch (kind) {
    case 'at-least':
      return comparison >= 0;
    case 'above':
      return comparison > 0;
    case 'at-most':
      return comparison <= 0;
    case 'below':
      return comparison < 0;
    case 'other-than':
      return comparison !== 0;
    case 'always':
      return true;
    case 'never':
      return false;
    default:
      return unreachable(kind);
  }
}

/** The magnitude of a float64: the shortest digits that read back as it, exact for integers. */
function decimalOf(value: number): Decimal {
  const magnitude = Math.abs(value);
  if (!Number.isFinite(magnitude)) throw new Refusal(`expected a number, got ${value}`);
  if (Number.isInteger(magnitude)) return { whole: BigInt(magnitude).toString(), fraction: '' };
  const [mantissa = '', exponent = '0'] = String(magnitude).split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const shift = Number(exponent);
  if (shift >= 0) return { whole, fraction };
  return { whole: '0', fraction: '0'.repeat(-shift - whole.length) + whole + fraction };
}

function unreachable(value: never): never {
  throw new Error(`expected a known case, got ${JSON.stringify(value)}`);
}
