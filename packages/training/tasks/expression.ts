// Arithmetic expressions as text.
//
// Owns their exact evaluation: integers, + - * /, parentheses, unary minus, in fractions so that 8/3*3 is 8.
// Knows nothing about tasks. Text that is no expression, and division by zero, give undefined.

interface Fraction {
  readonly top: number;
  readonly bottom: number;
}

/** The value of the expression, exact where it is an integer; undefined where the text is none or divides by zero. */
export function evaluateExpression(text: string): number | undefined {
  const tokens = text.match(/\d+|[-+*/()]|\S/g) ?? [];
  let at = 0;

  function sum(): Fraction | undefined {
    let left = product();
    while (left && (tokens[at] === '+' || tokens[at] === '-')) {
      const sign = tokens[at++] === '+' ? 1 : -1;
      const right = product();
      if (!right) return undefined;
      left = reduced(left.top * right.bottom + sign * right.top * left.bottom, left.bottom * right.bottom);
    }
    return left;
  }

  function product(): Fraction | undefined {
    let left = factor();
    while (left && (tokens[at] === '*' || tokens[at] === '/')) {
      const divides = tokens[at++] === '/';
      const right = factor();
      if (!right || (divides && right.top === 0)) return undefined;
      left = divides
        ? reduced(left.top * right.bottom, left.bottom * right.top)
        : reduced(left.top * right.top, left.bottom * right.bottom);
    }
    return left;
  }

  function factor(): Fraction | undefined {
    const token = tokens[at++];
    if (token === undefined) return undefined;
    if (token === '-') {
      const inner = factor();
      return inner && { top: -inner.top, bottom: inner.bottom };
    }
    if (token === '(') {
      const inner = sum();
      return tokens[at++] === ')' ? inner : undefined;
    }
    return /^\d+$/.test(token) ? { top: Number(token), bottom: 1 } : undefined;
  }

  const value = sum();
  return value && at === tokens.length ? value.top / value.bottom : undefined;
}

function reduced(top: number, bottom: number): Fraction {
  const sign = bottom < 0 ? -1 : 1;
  const divisor = greatestCommonDivisor(Math.abs(top), Math.abs(bottom)) || 1;
  return { top: (sign * top) / divisor, bottom: (sign * bottom) / divisor };
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
