// The part of JSON Schema that DeepSeek's strict tools allow.
//
// Owns the table of its documentation: which keywords a strict function's parameters may use, so that a schema written for
// Hadal is one that DeepSeek takes. Says nothing about whether a schema can be enforced; that is more than the dialect
// has. Pure, and knows nothing of automata.

import { isObject, type JsonObject } from './schema-document.ts';

export interface DialectProblem {
  /** RFC 6901, into the schema. */
  readonly pointer: string;
  readonly reason: string;
}

const annotations = ['title', 'description', 'default', 'examples', '$comment', '$schema', '$id', 'deprecated'];
const anywhere = [...annotations, 'type', 'enum', 'const', 'anyOf', '$ref', '$defs', '$def', 'definitions'];

/** Keywords of each type beside those that stand anywhere. */
const byType: Readonly<Record<string, readonly string[]>> = {
  object: ['properties', 'required', 'additionalProperties'],
  string: ['pattern', 'format'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
  integer: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
  boolean: [],
  null: [],
  array: ['items'],
};

const formats = ['email', 'hostname', 'ipv4', 'ipv6', 'uuid'];

/** The first thing that the dialect does not allow; undefined where all is well. */
export function checkStrictSchema(schema: unknown, pointer = ''): DialectProblem | undefined {
  if (!isObject(schema)) return { pointer, reason: `expected a schema, got ${JSON.stringify(schema)}` };
  const types = [schema.type ?? []].flat();
  const unknown = types.find((type) => typeof type !== 'string' || !Object.hasOwn(byType, type));
  if (unknown !== undefined) {
    return {
      pointer: `${pointer}/type`,
      reason: `expected one of ${Object.keys(byType).join(', ')}, got ${JSON.stringify(unknown)}`,
    };
  }
  const allowed = [...anywhere, ...types.flatMap((type) => byType[type as string] ?? [])];
  const foreign = Object.keys(schema).find((keyword) => !allowed.includes(keyword));
  if (foreign !== undefined) {
    const where = types.length > 0 ? types.join(' or ') : 'a schema without a type';
    return { pointer: `${pointer}/${foreign}`, reason: `${foreign} is not supported in strict functions for ${where}` };
  }
  if (schema.format !== undefined && !formats.includes(schema.format as string)) {
    return {
      pointer: `${pointer}/format`,
      reason: `expected one of ${formats.join(', ')}, got ${JSON.stringify(schema.format)}`,
    };
  }
  return (types.includes('object') ? checkObject(schema, pointer) : undefined) ?? checkInner(schema, pointer);
}

function checkObject(
  { properties = {}, required = [], additionalProperties }: JsonObject,
  pointer: string,
): DialectProblem | undefined {
  if (additionalProperties !== false) {
    return {
      pointer: `${pointer}/additionalProperties`,
      reason: 'expected false: strict functions name all their parameters',
    };
  }
  const names = isObject(properties) ? Object.keys(properties) : [];
  const missing = names.find((name) => !Array.isArray(required) || !required.includes(name));
  if (missing === undefined) return undefined;
  return { pointer: `${pointer}/required`, reason: `expected every property, ${JSON.stringify(missing)} is missing` };
}

function checkInner(schema: JsonObject, pointer: string): DialectProblem | undefined {
  const inner: [unknown, string][] = [];
  for (const keyword of ['properties', '$defs', '$def', 'definitions']) {
    const map = schema[keyword];
    if (!isObject(map)) continue;
    for (const [name, value] of Object.entries(map)) {
      inner.push([value, `${pointer}/${keyword}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`]);
    }
  }
  if (schema.items !== undefined) inner.push([schema.items, `${pointer}/items`]);
  if (Array.isArray(schema.anyOf)) {
    for (const [i, value] of schema.anyOf.entries()) inner.push([value, `${pointer}/anyOf/${i}`]);
  }
  for (const [value, place] of inner) {
    const problem = checkStrictSchema(value, place);
    if (problem) return problem;
  }
  return undefined;
}
