// The metadata of a GGUF file, asked for by key.
//
// Owns the checks of what a value is, and the way back from float32 to the number that was meant. Knows no key by name.

export class GgufMetadata {
  readonly path: string;
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(path: string, values: Readonly<Record<string, unknown>>) {
    this.path = path;
    this.#values = values;
  }

  number(key: string): number {
    return this.optionalNumber(key) ?? this.#fail(key, 'a number');
  }

  optionalNumber(key: string): number | undefined {
    const value = this.#values[key];
    if (value === undefined) return undefined;
    if (typeof value === 'bigint') return Number(value);
    return typeof value === 'number' ? shortestFloat(value) : this.#fail(key, 'a number');
  }

  string(key: string): string {
    return this.optionalString(key) ?? this.#fail(key, 'a text');
  }

  optionalString(key: string): string | undefined {
    const value = this.#values[key];
    return value === undefined || typeof value === 'string' ? value : this.#fail(key, 'a text');
  }

  optionalBoolean(key: string): boolean | undefined {
    const value = this.#values[key];
    return value === undefined || typeof value === 'boolean' ? value : this.#fail(key, 'true or false');
  }

  strings(key: string): readonly string[] {
    const value = this.#values[key];
    const isList = Array.isArray(value) && value.every((item) => typeof item === 'string');
    return isList ? value : this.#fail(key, 'a list of texts');
  }

  /** Empty where there is none. */
  numbers(key: string): readonly number[] {
    const value = this.#values[key] ?? [];
    const isList = Array.isArray(value) && value.every((item) => typeof item === 'number' || typeof item === 'bigint');
    return isList ? value.map(Number) : this.#fail(key, 'a list of numbers');
  }

  #fail(key: string, expected: string): never {
    const value = this.#values[key];
    const found = typeof value === 'bigint' ? String(value) : (JSON.stringify(value)?.slice(0, 60) ?? 'nothing');
    throw new Error(`${this.path}: ${key}: expected ${expected}, found ${found}`);
  }
}

/** The number with the fewest digits that float32 rounds to `value`: 1e-6, where the file has 9.999999974752427e-7. */
function shortestFloat(value: number): number {
  if (Number.isInteger(value) || Math.fround(value) !== value) return value;
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
