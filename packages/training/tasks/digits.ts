// Worked arithmetic.
//
// Owns the one way a sum, a difference or a product is written out, whatever task needs it: a small transformer learns
// one procedure, not one per task. Knows nothing about questions or languages; the text is symbols only. Every digit carries the name
// of its place (u units, t tens, h hundreds, k thousands, m ten thousands), so that a step looks up its operands by name
// ("index hints", Zhou et al. 2023) and never counts positions; carries are written where they are used; every equation is true.

/** Worked lines, the last of which ends in the result. */
export interface Worked {
  readonly text: string;
  readonly result: number;
}

const places = ['u', 't', 'h', 'k', 'm'] as const;

/** Non-negative integers of at most five digits. Single digits are a known fact and written directly. */
export function workedSum(a: number, b: number): Worked {
  const result = a + b;
  if (a < 10 && b < 10) return direct(`${a} + ${b}`, result);
  const width = Math.max(digitsOf(a).length, digitsOf(b).length);
  const columns: string[] = [];
  const sums: number[] = [];
  let carry = 0;
  for (let i = 0; i < width; i++) {
    const x = digitAt(a, i);
    const y = digitAt(b, i);
    const sum = x + y + carry;
    columns.push(`${place(i)}${x}+${y}${carry > 0 ? `+${carry}` : ''}=${sum}`);
    sums.push(sum);
    carry = sum >= 10 ? 1 : 0;
  }
  return {
    text: [`${a} + ${b}`, placed(a, width), placed(b, width), indented(columns), gathered(sums), `= ${result}`].join(
      '\n',
    ),
    result,
  };
}

/** Non-negative integers of at most five digits; the result may be negative, then the larger is placed first. */
export function workedDifference(a: number, b: number): Worked {
  const result = a - b;
  if (b < 10 && a < 19) return direct(`${a} - ${b}`, result);
  const width = Math.max(digitsOf(a).length, digitsOf(b).length);
  const lines = [`${a} - ${b}`, placed(a, width), placed(b, width)];
  lines.push(firstDifference(a, b, width));
  if (a === b) return { text: [...lines, '= 0'].join('\n'), result };
  if (a < b) lines.push(`-(${b} - ${a})`, placed(b, width), placed(a, width));
  const top = Math.max(a, b);
  const bottom = Math.min(a, b);
  const columns: string[] = [];
  const differences: number[] = [];
  let borrow = 0;
  for (let i = 0; i < width; i++) {
    const x = digitAt(top, i);
    const y = digitAt(bottom, i);
    const lends = x - y - borrow < 0;
    const difference = x - y - borrow + (lends ? 10 : 0);
    // A borrowed ten stands before the digit: 3-8 becomes 13-8, and the next column subtracts the one it lent.
    columns.push(`${place(i)}${lends ? 10 + x : x}-${y}${borrow > 0 ? '-1' : ''}=${difference}`);
    differences.push(difference);
    borrow = lends ? 1 : 0;
  }
  lines.push(indented(columns), gathered(differences), `= ${result}`);
  return { text: lines.join('\n'), result };
}

/** A non-negative integer of at most three digits times one of at most two (in either order). */
export function workedProduct(a: number, b: number): Worked {
  const result = a * b;
  if (a < 10 && b < 10) return direct(`${a} * ${b}`, result);
  if (digitsOf(a).length < digitsOf(b).length) {
    const swapped = workedProduct(b, a);
    return { text: `${a} * ${b} = ${swapped.text}`, result };
  }
  if (b < 10) return productByDigit(a, b);
  const tens = digitAt(b, 1);
  const units = digitAt(b, 0);
  const byTens = productByDigit(a, tens);
  const shifted = `${a} * ${tens * 10} = ${byTens.result * 10}`;
  if (units === 0) return { text: `${a} * ${b}\n${byTens.text}\n${shifted}`, result };
  const byUnits = productByDigit(a, units);
  return {
    text: [
      `${a} * ${b} = ${a} * ${units} + ${a} * ${tens * 10}`,
      byUnits.text,
      byTens.text,
      shifted,
      workedSum(byUnits.result, byTens.result * 10).text,
    ].join('\n'),
    result,
  };
}

/** An exact quotient from the multiplication table, a known fact: dividend at most 100, divisor at most 10. */
export function workedQuotient(a: number, b: number): Worked {
  if (b === 0 || a % b !== 0) throw new Error(`quotient: expected a multiple of ${b}, got ${a}`);
  return direct(`${a} / ${b}`, a / b);
}

function productByDigit(a: number, digit: number): Worked {
  const result = a * digit;
  if (digit <= 1 || a < 10) return direct(`${a} * ${digit}`, result);
  const width = digitsOf(a).length;
  const columns: string[] = [];
  const products: number[] = [];
  let carry = 0;
  for (let i = 0; i < width; i++) {
    const x = digitAt(a, i);
    const product = x * digit;
    const sum = product + carry;
    columns.push(
      carry > 0
        ? `${place(i)}${x}*${digit}+${carry}=${product}+${carry}=${sum}`
        : `${place(i)}${x}*${digit}=${product}`,
    );
    products.push(sum);
    carry = Math.floor(sum / 10);
  }
  return {
    text: [`${a} * ${digit}`, placed(a, width), indented(columns), gathered(products), `= ${result}`].join('\n'),
    result,
  };
}

function direct(expression: string, result: number): Worked {
  return { text: `${expression} = ${result}`, result };
}

/** "m1 k2 h3 t4 u5": digits with their places, zeros in front up to `width`. */
function placed(value: number, width: number): string {
  const items: string[] = [];
  for (let i = width - 1; i >= 0; i--) items.push(`${place(i)}${digitAt(value, i)}`);
  return indented(items);
}

/** The digits that the columns leave, highest place first; the highest keeps all of its value. */
function gathered(columns: readonly number[]): string {
  const items: string[] = [];
  for (let i = columns.length - 1; i >= 0; i--) {
    const value = columns[i]!;
    items.push(`${place(i)}${i === columns.length - 1 ? value : value % 10}`);
  }
  return indented(items);
}

/** "m1=1 k2<6": places from the highest down to the first that differs. */
function firstDifference(a: number, b: number, width: number): string {
  const items: string[] = [];
  for (let i = width - 1; i >= 0; i--) {
    const x = digitAt(a, i);
    const y = digitAt(b, i);
    items.push(`${place(i)}${x}${x === y ? '=' : x < y ? '<' : '>'}${y}`);
    if (x !== y) break;
  }
  return indented(items);
}

/** A line of named digits. It opens with a space so that a name is the same token wherever it stands in its line. */
function indented(items: readonly string[]): string {
  return ` ${items.join(' ')}`;
}

function place(index: number): string {
  const name = places[index];
  if (name === undefined)
    throw new Error(`worked arithmetic: expected at most ${places.length} digits, got ${index + 1}`);
  return name;
}

function digitsOf(value: number): string {
  return String(value);
}

function digitAt(value: number, index: number): number {
  return Math.floor(value / 10 ** index) % 10;
}
