// Formulas over rewards, such as `0.7 * accuracy + 0.3 * min(format, 1)`.
//
// Owns their grammar (numbers, names, + - * / ( ), and the functions of the table below) and their value. No other name means
// anything, so a formula can do nothing but compute. Mistakes are told with their position, from 1.

/** A formula that has been read. */
export interface Formula {
  /** The names it is over, each once. */
  readonly variables: readonly string[];
  /** Not finite where it divides by zero, for one; every name must be among `values`. */
  evaluate(values: Readonly<Record<string, number>>): number;
}

export class FormulaError extends Error {
  override readonly name = 'FormulaError';
}

interface FunctionRow {
  readonly apply: (...values: number[]) => number;
  /** How many numbers it takes at most; it takes at least one. */
  readonly most: number;
}

const functions: ReadonlyMap<string, FunctionRow> = new Map([
  ['min', { apply: Math.min, most: Infinity }],
  ['max', { apply: Math.max, most: Infinity }],
  ['abs', { apply: Math.abs, most: 1 }],
  ['floor', { apply: Math.floor, most: 1 }],
  ['ceil', { apply: Math.ceil, most: 1 }],
  ['exp', { apply: Math.exp, most: 1 }],
  ['log', { apply: Math.log, most: 1 }],
  ['sqrt', { apply: Math.sqrt, most: 1 }],
]);

/** Longer ones would not be read by anybody, and parentheses nest no deeper than this. */
const maxCharacters = 2000;

interface Token {
  readonly type: 'number' | 'name' | 'sign' | 'end';
  readonly text: string;
  /** From 1. */
  readonly position: number;
}

type Value = (values: Readonly<Record<string, number>>) => number;

/** `names`: what may stand in it. Throws `FormulaError` for the first mistake. */
export function parseFormula(text: string, names: readonly string[]): Formula {
  if (text.length > maxCharacters) throw new FormulaError(`expected at most ${maxCharacters} characters`);
  const tokens = tokensOf(text);
  const variables = new Set<string>();
  let at = 0;

  const peek = (): Token => tokens[at]!;
  const take = (): Token => tokens[at++]!;
  const isSign = (sign: string): boolean => peek().type === 'sign' && peek().text === sign;
  const expectSign = (sign: string): void => {
    if (!isSign(sign)) throw unexpected(peek(), `"${sign}"`);
    take();
  };

  function sum(): Value {
    let left = product();
    while (isSign('+') || isSign('-')) left = combined(take().text, left, product());
    return left;
  }

  function product(): Value {
    let left = factor();
    while (isSign('*') || isSign('/')) left = combined(take().text, left, factor());
    return left;
  }

  function factor(): Value {
    const token = peek();
    if (token.type === 'end' || (token.type === 'sign' && !'-+('.includes(token.text))) {
      throw unexpected(token, 'a number, a name or "("');
    }
    take();
    if (token.type === 'number') return constant(Number(token.text));
    if (token.type === 'name') return isSign('(') ? call(token) : variable(token);
    if (token.text === '(') {
      const inner = sum();
      expectSign(')');
      return inner;
    }
    const operand = factor();
    return token.text === '-' ? (values) => -operand(values) : operand;
  }

  function variable({ text: name, position }: Token): Value {
    if (!names.includes(name)) {
      throw new FormulaError(`position ${position}: there is no grader ${name}; there are ${names.join(', ')}`);
    }
    variables.add(name);
    return (values) => values[name] ?? Number.NaN;
  }

  function call({ text: name, position }: Token): Value {
    const row = functions.get(name);
    if (row === undefined) {
      throw new FormulaError(`position ${position}: there is no function ${name}; ${[...functions.keys()].join(', ')}`);
    }
    take();
    const operands: Value[] = [sum()];
    while (isSign(',')) {
      take();
      operands.push(sum());
    }
    expectSign(')');
    if (operands.length > row.most) {
      throw new FormulaError(`position ${position}: ${name} takes one number, got ${operands.length}`);
    }
    return (values) => row.apply(...operands.map((operand) => operand(values)));
  }

  const evaluate = sum();
  if (peek().type !== 'end') throw unexpected(peek(), 'an operator or the end');
  return { variables: [...variables], evaluate };
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  const pattern = /\s*(?:(?<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?<name>[A-Za-z_]\w*)|(?<sign>[-+*/(),]))/y;
  const length = text.trimEnd().length;
  let at = 0;
  while (at < length) {
    pattern.lastIndex = at;
    const groups = pattern.exec(text)?.groups;
    if (groups === undefined) {
      const position = at + (/\S/.exec(text.slice(at))?.index ?? 0) + 1;
      throw new FormulaError(`position ${position}: ${JSON.stringify(text[position - 1])} means nothing here`);
    }
    at = pattern.lastIndex;
    const type = groups.number !== undefined ? 'number' : groups.name !== undefined ? 'name' : 'sign';
    const token = groups[type] ?? '';
    tokens.push({ type, text: token, position: at - token.length + 1 });
  }
  return [...tokens, { type: 'end', text: '', position: length + 1 }];
}

function constant(value: number): Value {
  return () => value;
}

function combined(sign: string, left: Value, right: Value): Value {
  switch (sign) {
    case '+':
      return (values) => left(values) + right(values);
    case '-':
      return (values) => left(values) - right(values);
    case '*':
      return (values) => left(values) * right(values);
    default:
      return (values) => left(values) / right(values);
  }
}

function unexpected({ type, text, position }: Token, expected: string): FormulaError {
  return new FormulaError(
    `position ${position}: expected ${expected}, got ${type === 'end' ? 'the end' : `"${text}"`}`,
  );
}
