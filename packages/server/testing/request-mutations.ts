// Requests that are nearly right.
//
// Owns the many small ways to spoil a good one: values of the wrong kind or size, members gone, doubled or renamed, text cut short
// or of no encoding, odd paths, queries and headers. All of it is a function of a seed. Does not know which of the results the
// API should still accept. Never used outside tests.

import { uniformAt } from '@hadal/engine/uniform';

/** Draws, the same for the same seed. */
export class Draws {
  readonly #seed: number;
  #count = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** A whole number below `limit`. */
  below(limit: number): number {
    return Math.floor(uniformAt(this.#seed, this.#count++) * limit);
  }

  isOneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  of<T>(items: readonly T[]): T {
    if (items.length === 0) throw new Error('items: expected at least one, got none');
    return items[this.below(items.length)] as T;
  }
}

type Container = Record<string, unknown> | unknown[];
interface Place {
  readonly parent: Container;
  readonly key: string;
}

const nested = (depth: number): unknown =>
  depth === 0 ? 1 : depth % 2 ? [nested(depth - 1)] : { a: nested(depth - 1) };

const oddValues: readonly (() => unknown)[] = [
  ...[null, true, false, 0, -1, 1, -0, 1.5, 2, 127, 128, 129, 1e9, 2 ** 31, 2 ** 53, -(2 ** 53), 1e308, -1e308, 5e-324],
  ...[
    '',
    ' ',
    'a',
    '0',
    '-1',
    '1e999',
    'NaN',
    'Infinity',
    'null',
    'true',
    '\0',
    '\ud800',
    '\udfff\ud800',
    '\u202e',
    'é',
    '😀',
  ],
  ...[
    '__proto__',
    'constructor',
    '../../etc/passwd',
    '<｜end▁of▁sentence｜>',
    '<think>',
    '</think>',
    '{{ 1 }}',
    '(a*)*$',
  ],
  ...[
    'auto',
    'required',
    'none',
    'function',
    'user',
    'assistant',
    'tool',
    'text',
    'json_object',
    'image_url',
    'x'.repeat(20_000),
  ],
].map((value) => () => value);
const oddContainers: readonly (() => unknown)[] = [
  () => [],
  () => ({}),
  () => [[]],
  () => [null],
  () => [{}],
  () => ({ a: 1 }),
  () => ({ type: 'text' }),
  () => nested(20),
  () => nested(126),
  () => nested(300),
  () => Array.from({ length: 200 }, (_, i) => i),
  () => Array.from({ length: 200 }, () => 'a'),
  () => withOwn({}, '__proto__', { isAdmin: true }),
];
const oddNames = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  '',
  ' ',
  'extra',
  '\ud800',
  '0',
];

/** A copy of `body` with one to three mistakes, or what only looks like one. */
export function mutatedBody(draws: Draws, body: object): unknown {
  const root: Record<string, unknown> = { body: structuredClone(body) };
  for (let times = 1 + draws.below(3); times > 0; times--) mutate(draws, root);
  if (draws.isOneIn(300)) {
    const { parent, key } = draws.of(placesIn(root));
    put(parent, key, 'large '.repeat(300_000));
  }
  return root.body;
}

/** A form with the members of `fields`, `file` as a file, in any order; some are gone, doubled, renamed or odd. */
export function mutatedForm(draws: Draws, fields: Readonly<Record<string, unknown>>, boundary: string): string {
  const parts = Object.entries(fields).flatMap(([name, value]) => {
    const times = draws.isOneIn(8) ? draws.of([0, 2]) : 1;
    const shown = draws.isOneIn(10) ? draws.of(oddNames) : name;
    const text = draws.isOneIn(5) ? String(draws.of(oddValues)()) : String(value);
    const filename =
      name === 'file' && !draws.isOneIn(8) ? `; filename="${draws.of(['a.txt', '', 'n'.repeat(600), 'é'])}"` : '';
    return Array<string>(times).fill(`content-disposition: form-data; name="${shown}"${filename}\r\n\r\n${text}`);
  });
  if (draws.isOneIn(2)) parts.reverse();
  if (draws.isOneIn(8)) parts.push(draws.of(['', 'content-disposition: form-data', 'x: y\r\n\r\nz']));
  const lines = parts.map((part) => `--${boundary}\r\n${part}\r\n`);
  return `${lines.join('')}${draws.isOneIn(10) ? '' : `--${boundary}--\r\n`}`;
}

function mutate(draws: Draws, root: Record<string, unknown>): void {
  const places = placesIn(root);
  const { parent, key } = draws.of(places);
  const other = draws.of(places);
  const spot = { parent, key, value: Reflect.get(parent, key), other: Reflect.get(other.parent, other.key) };
  draws.of(mutations)(spot, draws);
}

interface Spot extends Place {
  readonly value: unknown;
  /** What stands somewhere else. */
  readonly other: unknown;
}

const anotherValue = ({ parent, key }: Spot, draws: Draws) => put(parent, key, draws.of(oddValues)());

const mutations: readonly ((spot: Spot, draws: Draws) => void)[] = [
  ...[anotherValue, anotherValue, anotherValue],
  ({ parent, key }, draws) => put(parent, key, draws.of(oddContainers)()),
  ({ parent, key, other }) => put(parent, key, structuredClone(other)),
  ({ parent, key, value }) => put(parent, key, Array.isArray(value) ? value[0] : JSON.stringify(value)),
  ({ parent, key }) => {
    if (Array.isArray(parent)) parent.splice(Number(key), 1);
    else if (key !== 'body') delete parent[key];
  },
  ({ parent, key, value }, draws) => {
    if (!Array.isArray(parent)) put(parent, key, [value]);
    else parent.push(...Array.from({ length: 1 + draws.below(40) }, () => structuredClone(value)));
  },
  ({ parent, value }, draws) => {
    const inside = typeof value === 'object' && value !== null ? (value as Container) : parent;
    put(inside, draws.of(oddNames), draws.of([...oddValues, ...oddContainers])());
  },
  ({ parent, key, value }, draws) => {
    if (Array.isArray(parent) || key === 'body') return;
    delete parent[key];
    put(parent, draws.of([...oddNames, key.toUpperCase(), `${key}s`, ` ${key}`]), value);
  },
];

/** As a member of its own, whatever its name. */
function put(parent: Container, key: string, value: unknown): void {
  if (Array.isArray(parent)) parent[Number.isInteger(Number(key)) ? Number(key) : 0] = value;
  else withOwn(parent, key, value);
}

function withOwn(object: Record<string, unknown>, key: string, value: unknown): object {
  return Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
}

function placesIn(value: unknown): Place[] {
  if (typeof value !== 'object' || value === null) return [];
  const parent = value as Container;
  return Object.keys(parent).flatMap((key) => [{ parent, key }, ...placesIn(Reflect.get(parent, key)).slice(0, 200)]);
}

/** The bytes of `text` with one mistake. */
export function mutatedText(draws: Draws, text: string): Buffer {
  const at = draws.below(text.length + 1);
  const [before, after] = [text.slice(0, at), text.slice(at)];
  const bytes = (middle: string | Buffer) =>
    Buffer.concat([Buffer.from(before), Buffer.from(middle), Buffer.from(after)]);
  switch (draws.below(9)) {
    case 0:
      return Buffer.from(before);
    case 1:
      return Buffer.from(after);
    case 2:
      return bytes(Buffer.from(draws.of(['ff', 'c0af', 'eda080', 'f5808080', 'fe', '80', 'e282']), 'hex'));
    case 3:
      return bytes(
        draws.of(['NaN', 'Infinity', '-', 'undefined', "'", '"', '\\', '\\u', '\\ud800', '\0', '\n', '//', '/**/']),
      );
    case 4:
      return bytes(draws.of([',', ':', '{', '}', '[', ']', '{}', '[]', '1', '1e99999', '-0', '01', '0x1', '+1', '.5']));
    case 5:
      return Buffer.from(text.replace('{', `{"model": ${draws.of(['1', '"toy"', 'null', '{"model": []}'])}, `));
    case 6:
      return Buffer.from(`${'['.repeat(100 + draws.below(100_000))}${text}`);
    case 7:
      return Buffer.from(draws.of(['\ufeff', ' ', '\u00a0', '\0', 'x', '[', '"']) + text);
    default:
      return Buffer.from(text + draws.of(['\ufeff', ' ', '\n\n', text, 'x', '\0', ',', '}']));
  }
}

const oddSegments = [
  ...[
    '%00',
    '%2F',
    '%2e%2e%2f',
    '%C3%A9',
    '%F0%9F%98%80',
    '%25',
    '%',
    '%zz',
    '%ff',
    '%E0%A4',
    '..',
    '.',
    '~',
    '*',
    '%20',
    '+',
  ],
  ...[
    '__proto__',
    'constructor',
    'null',
    'undefined',
    '-1',
    '0',
    'resp_',
    "'",
    '%22',
    '%0d%0a',
    ';',
    ':id',
    '%3Aid',
    '$',
    '(',
    '@',
  ],
  ...['a'.repeat(99), 'a'.repeat(101), 'a'.repeat(4000), '%61'.repeat(200)],
];

/** One part of a path, as it stands on the wire. */
export function oddSegment(draws: Draws): string {
  return draws.of(oddSegments) + (draws.isOneIn(3) ? draws.of(oddSegments) : '');
}

const names = [
  'stream',
  'starting_after',
  'limit',
  'after',
  'order',
  'purpose',
  '__proto__',
  'constructor',
  '',
  'toString',
  'x[y]',
];
const values = [
  '',
  '0',
  '1',
  '-1',
  '1e9',
  'NaN',
  'true',
  'false',
  'TRUE',
  '%',
  '%ff',
  '%00',
  '[]',
  'null',
  '9'.repeat(40),
  'a'.repeat(3000),
];

/** With its question mark; sometimes empty. */
export function oddQuery(draws: Draws): string {
  const pairs = Array.from(
    { length: draws.below(4) },
    () => `${draws.of(names)}${draws.of(['=', '=', '='])}${draws.of(values)}`,
  );
  return pairs.length === 0 ? '' : `?${pairs.join(draws.of(['&', '&', ';', '&&']))}`;
}

const oddHeaderSets: readonly Readonly<Record<string, string>>[] = [
  { 'content-type': '' },
  { 'content-type': 'application/jsonx' },
  { 'content-type': 'application/json; charset=utf-16' },
  { 'content-type': 'application/json;;;' },
  { 'content-type': 'APPLICATION/JSON' },
  { 'content-type': 'text/plain' },
  { 'content-type': 'multipart/form-data' },
  { 'content-type': 'multipart/form-data; boundary=' },
  { 'content-type': 'application/x-www-form-urlencoded' },
  { 'content-type': '*/*' },
  { 'content-type': 'application/json', 'content-encoding': 'gzip' },
  { 'content-type': 'application/json', accept: 'image/png' },
  { 'content-type': 'application/json', authorization: `Bearer ${'k'.repeat(5000)}` },
  { 'content-type': 'application/json', authorization: 'Basic !!!', 'x-api-key': '' },
  { 'content-type': 'application/json', 'x-request-id': '\u00e9\u00ff', 'anthropic-version': 'never' },
  { 'content-type': 'application/json', host: 'example.org:99999' },
  { 'content-type': 'application/json', cookie: '__proto__=1; =; ;' },
  { 'content-type': 'application/json', 'accept-version': '9.9.9' },
  { 'content-type': 'application/json', 'x-forwarded-for': "'; DROP TABLE", range: 'bytes=5-1' },
  { 'content-type': 'application/json', 'if-none-match': '*', 'transfer-encoding': 'chunked' },
  { 'content-type': 'application/json', 'x-http-method-override': 'DELETE' },
];

export function oddHeaders(draws: Draws): Readonly<Record<string, string>> {
  return draws.of(oddHeaderSets);
}
