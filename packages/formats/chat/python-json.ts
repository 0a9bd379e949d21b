// JSON in the spelling of Python's `json.dumps(value, ensure_ascii=False)`.
//
// Owns separators (", " and ": ") and the spelling of numbers, because DeepSeek's models learned schemas and arguments in
// exactly this form. Knows nothing about chat. What `parseJson` reads, `pythonJson` writes as Python would after reading
// the same text, except that keys which look like array indices come first, as in every JavaScript object.

/** A number as its text: 1.0 and 1 are different to Python, and integers have no limit. */
export class JsonNumber {
  readonly source: string;
  constructor(source: string) {
    this.source = source;
  }
}

/** Parses JSON, keeping every number as a `JsonNumber`. Throws SyntaxError as JSON.parse does. */
export function parseJson(text: string): unknown {
  const keepSource = (_key: string, value: unknown, context?: { readonly source?: string }): unknown =>
    typeof value === 'number' ? new JsonNumber(context?.source ?? String(value)) : value;
  return JSON.parse(text, keepSource);
}

/** The text for `value`: what JSON can say, with numbers or `JsonNumber`s; members that are undefined are left out. */
export function pythonJson(value: unknown): string {
  if (typeof value === 'number') return spellNumber(String(value));
  if (value instanceof JsonNumber) return spellNumber(value.source);
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return `{${members.map(([key, member]) => `${JSON.stringify(key)}: ${pythonJson(member)}`).join(', ')}}`;
  }
  return JSON.stringify(value);
}

/** Integers keep their digits; anything with a point or an exponent is a float, spelled as Python's `repr` does. */
function spellNumber(source: string): string {
  if (/^-?\d+$/.test(source)) return source === '-0' ? '0' : source;
  const number = Number(source);
  if (!Number.isFinite(number)) return number > 0 ? 'Infinity' : '-Infinity';
  // Both languages print the shortest digits that read back; only the layout differs.
  const [mantissa, exponentText] = number.toExponential().split('e');
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16) {
    return `${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  const digits = Object.is(number, -0) ? '-0' : String(number);
  return digits.includes('.') ? digits : `${digits}.0`;
}
