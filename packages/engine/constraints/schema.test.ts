import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniforms } from '@hadal/kernels/parity';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { compileConstraint } from './constraint.ts';
import { compiled, isComplete, nanoLanguage, refusal, walk } from './testing/random-walk.ts';

const language = nanoLanguage();

function reads(schema: unknown, text: string): boolean {
  return isComplete(compiled({ type: 'json-schema', schema, isStrict: false }, language), text, language);
}

interface Row {
  readonly schema: unknown;
  readonly good: readonly string[];
  readonly bad: readonly string[];
}

const recursive = {
  $defs: {
    tree: { type: 'object', properties: { v: { type: 'integer' }, l: { $ref: '#/$defs/tree' } }, required: ['v'] },
  },
  $ref: '#/$defs/tree',
};

/** What each keyword allows and forbids. */
const rows: Readonly<Record<string, Row>> = {
  type: { schema: { type: ['integer', 'null'] }, good: ['1', 'null'], bad: ['1.5', '"1"', 'true'] },
  enum: {
    schema: { enum: ['a', 1, null, { b: [2] }] },
    good: ['"a"', '1', 'null', '{"b": [2]}'],
    bad: ['"b"', '{"b": [3]}'],
  },
  'enum and type': { schema: { type: 'string', enum: ['a', 1] }, good: ['"a"'], bad: ['1'] },
  const: { schema: { const: 'é"' }, good: ['"é\\""'], bad: ['"e"'] },
  length: { schema: { type: 'string', minLength: 2, maxLength: 3 }, good: ['"ab"', '"äöü"'], bad: ['"a"', '"abcd"'] },
  pattern: {
    schema: { type: 'string', pattern: '^[a-f]+$', maxLength: 4 },
    good: ['"abc"'],
    bad: ['"abg"', '"abcde"', '""'],
  },
  integers: {
    schema: { type: 'integer', minimum: -3, exclusiveMaximum: 12 },
    good: ['-3', '0', '11'],
    bad: ['-4', '12', '1.0'],
  },
  'bounds of draft 4': { schema: { type: 'integer', minimum: 1, exclusiveMinimum: true }, good: ['2'], bad: ['1'] },
  multipleOf: { schema: { type: 'integer', multipleOf: 7, minimum: 0, maximum: 50 }, good: ['0', '49'], bad: ['48'] },
  object: {
    schema: { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'string' } }, required: ['b'] },
    good: ['{"a": 1, "b": ""}', '{"b": "x"}'],
    bad: ['{"a": 1}', '{"b": "", "a": 1}', '{"b": "", "c": 1}', '{"a": 1,"b": ""}', '{ "b": ""}'],
  },
  'open object': {
    schema: { type: 'object', properties: { a: { type: 'integer' } }, additionalProperties: { type: 'boolean' } },
    good: ['{}', '{"x": true}', '{"a": 1, "x": true, "y": false}'],
    bad: ['{"a": true}', '{"x": 1}', '{"\\u0061": true}'],
  },
  'object without names': { schema: { type: 'object' }, good: ['{}', '{"x": [1, {"y": null}]}'], bad: ['[]'] },
  patternProperties: {
    schema: {
      type: 'object',
      patternProperties: { '^n': { type: 'number' }, z$: { minimum: 5 } },
      additionalProperties: false,
    },
    good: ['{"n": 1}', '{"nz": 7}', '{"z": "free"}'],
    bad: ['{"nz": 3}', '{"nz": "x"}', '{"a": 1}'],
  },
  propertyNames: {
    schema: { type: 'object', propertyNames: { pattern: '^[a-c]+$' } },
    good: ['{"ab": 1}'],
    bad: ['{"d": 1}'],
  },
  minProperties: {
    schema: { type: 'object', properties: { a: {}, b: {}, c: {} }, minProperties: 2, maxProperties: 2 },
    good: ['{"a": 1, "c": 2}'],
    bad: ['{"a": 1}', '{"a": 1, "b": 1, "c": 1}'],
  },
  items: {
    schema: { type: 'array', items: { type: 'integer' }, minItems: 1, maxItems: 2 },
    good: ['[1]', '[1, 2]'],
    bad: ['[]', '[1, 2, 3]', '[true]'],
  },
  prefixItems: {
    schema: {
      type: 'array',
      prefixItems: [{ type: 'integer' }, { type: 'string' }],
      items: { type: 'null' },
      minItems: 2,
    },
    good: ['[1, "a"]', '[1, "a", null, null]'],
    bad: ['[1]', '["a", 1]', '[1, "a", 1]'],
  },
  'items of draft 7': {
    schema: { type: 'array', items: [{ type: 'integer' }], additionalItems: false },
    good: ['[]', '[1]'],
    bad: ['[1, 1]', '["a"]'],
  },
  contains: {
    schema: { type: 'array', items: { type: 'integer' }, contains: { minimum: 10 }, maxContains: 1 },
    good: ['[10]', '[1, 11, 2]'],
    bad: ['[]', '[1]', '[10, 11]'],
  },
  uniqueItems: {
    schema: { type: 'array', items: { enum: ['a', 'b', 3] }, uniqueItems: true },
    good: ['[]', '["b", 3, "a"]'],
    bad: ['["a", "a"]', '[3, 3]'],
  },
  allOf: {
    schema: {
      allOf: [
        { type: 'object', properties: { a: { type: 'integer' } } },
        { properties: { b: {}, a: { minimum: 3 } }, required: ['a'] },
      ],
    },
    good: ['{"a": 3}', '{"a": 4, "b": [1]}'],
    bad: ['{"a": 2}', '{"b": 1}'],
  },
  anyOf: {
    schema: { anyOf: [{ type: 'integer' }, { type: 'string', maxLength: 1 }] },
    good: ['12', '"a"'],
    bad: ['"ab"', 'null'],
  },
  oneOf: {
    schema: {
      oneOf: [
        { type: 'integer', minimum: 5 },
        { type: 'integer', maximum: 7 },
      ],
    },
    good: ['4', '8'],
    bad: ['5', '7'],
  },
  'oneOf of objects': {
    schema: {
      oneOf: ['a', 'b'].map((name) => ({
        type: 'object',
        properties: { [name]: { type: 'string' } },
        additionalProperties: false,
      })),
    },
    good: ['{"a": ""}', '{"b": ""}'],
    bad: ['{}'], // satisfies both
  },
  not: { schema: { type: 'string', not: { pattern: '^a' } }, good: ['"b"', '""'], bad: ['"ab"'] },
  'not required': {
    schema: { type: 'object', properties: { a: {}, b: {} }, not: { required: ['a', 'b'] } },
    good: ['{"a": 1}', '{"b": 1}', '{}'],
    bad: ['{"a": 1, "b": 1}'],
  },
  'if, then, else': {
    schema: {
      type: 'object',
      properties: { kind: { enum: ['x', 'y'] }, n: {} },
      required: ['kind', 'n'],
      if: { properties: { kind: { const: 'x' } } },
      // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema.
      then: { properties: { n: { type: 'integer' } } },
      else: { properties: { n: { type: 'boolean' } } },
    },
    good: ['{"kind": "x", "n": 1}', '{"kind": "y", "n": true}'],
    bad: ['{"kind": "x", "n": true}', '{"kind": "y", "n": 1}'],
  },
  dependentRequired: {
    schema: { type: 'object', properties: { a: {}, b: {} }, dependentRequired: { a: ['b'] } },
    good: ['{}', '{"b": 1}', '{"a": 1, "b": 1}'],
    bad: ['{"a": 1}'],
  },
  dependentSchemas: {
    schema: {
      type: 'object',
      properties: { a: {}, b: {} },
      dependentSchemas: { a: { properties: { b: { const: 1 } } } },
    },
    good: ['{"a": 0, "b": 1}', '{"b": 2}'],
    bad: ['{"a": 0, "b": 2}'],
  },
  unevaluatedProperties: {
    schema: { allOf: [{ properties: { a: {} } }], properties: { b: {} }, type: 'object', unevaluatedProperties: false },
    good: ['{"b": 1, "a": 1}'],
    bad: ['{"c": 1}'],
  },
  recursion: {
    schema: recursive,
    good: ['{"v": 1}', '{"v": 1, "l": {"v": 2, "l": {"v": 3}}}'],
    bad: ['{"v": 1, "l": {}}'],
  },
  'a reference by id': {
    schema: {
      $defs: { x: { $id: 'https://a.b/x', type: 'null' }, y: { $anchor: 'y', type: 'boolean' } },
      anyOf: [{ $ref: 'https://a.b/x' }, { $ref: '#y' }],
    },
    good: ['null', 'true'],
    bad: ['1'],
  },
  'what can never end is left out': {
    schema: {
      $defs: { n: { type: 'object', required: ['n'], properties: { n: { $ref: '#/$defs/n' } } } },
      type: 'object',
      properties: { a: {}, n: { $ref: '#/$defs/n' } },
    },
    good: ['{"a": 1}', '{}'],
    bad: ['{"n": {}}'],
  },
  'any value': { schema: true, good: ['null', '[{"a": -1.5e3}]', '"\\u0041"'], bad: ['[1,2]', 'nul'] },
};

for (const [name, { schema, good, bad }] of Object.entries(rows)) {
  test(`a schema holds: ${name}`, () => {
    for (const text of good) assert.ok(reads(schema, text), text);
    for (const text of bad) assert.ok(!reads(schema, text), text);
  });
}

test('random values under every one of these schemas validate', () => {
  const next = uniforms(3);
  for (const [name, { schema }] of Object.entries(rows)) {
    if (/draft [47]|reference/.test(name)) continue; // their keywords are not of this draft
    const validate = new Ajv2020({ strict: false }).compile(schema as object);
    const constraint = compiled({ type: 'json-schema', schema, isStrict: false }, language);
    for (let i = 0; i < 20; i++) {
      const { text, isOver } = walk(constraint, language, next, 120, 10);
      assert.ok(!isOver || validate(JSON.parse(text)), `${name}: ${text}`);
    }
  }
});

test('what cannot be enforced is refused with its place and the reason', () => {
  const refusals: Readonly<Record<string, readonly [schema: unknown, pointer: string, reason: RegExp]>> = {
    'unique objects': [
      { properties: { a: { type: 'array', uniqueItems: true } } },
      '/properties/a/uniqueItems',
      /at most 10 values/,
    ],
    'many names': [{ type: 'object', minProperties: 3 }, '/minProperties', /different names/],
    lookahead: [{ properties: { 'a/b': { pattern: '(?=x)' } } }, '/properties/a~1b/pattern', /lookahead/],
    'a bad type': [{ items: { type: 'text' } }, '/items/type', /expected null, boolean/],
    'a required flag': [{ properties: { a: { required: true } } }, '/properties/a/required', /array of names/],
    'a remote reference': [{ $ref: 'https://example.org/x.json' }, '/$ref', /into this document/],
    'a reference to nothing': [{ allOf: [{ $ref: '#/$defs/x' }] }, '/allOf/0/$ref', /into this document/],
    'a circle': [
      { $defs: { a: { anyOf: [{ $ref: '#/$defs/a' }] } }, $ref: '#/$defs/a' },
      '/$defs/a',
      /refers to itself/,
    ],
    'a contradiction': [
      { type: 'object', properties: { a: { type: 'integer', minimum: 3, maximum: 2 } }, required: ['a'] },
      '/properties/a',
      /no value/,
    ],
    'a dynamic reference': [{ $dynamicRef: '#x' }, '/$dynamicRef', /depend on the place/],
    'not all items': [
      { not: { patternProperties: { a: { type: 'null' } } }, type: 'object' },
      '/not/patternProperties',
      /cannot be enforced/,
    ],
    'the format regex': [{ format: 'regex' }, '/format', /cannot be enforced/],
    'no schema': [{ properties: { a: 3 } }, '/properties/a', /expected a schema/],
    'too many branches': [
      { allOf: Array.from({ length: 20 }, (_, i) => ({ anyOf: [{ required: [`a${i}`] }, { required: [`b${i}`] }] })) },
      '',
      /combinations/,
    ],
  };
  for (const [name, [schema, pointer, reason]] of Object.entries(refusals)) {
    const refused = refusal({ type: 'json-schema', schema, isStrict: false }, language);
    assert.equal(refused.pointer, pointer, `${name}: ${refused.reason}`);
    assert.match(refused.reason, reason, name);
  }
});

test('keywords of no draft are noted, and refused where the schema is strict', () => {
  const schema = { type: 'object', properties: { a: { type: 'string', format: 'color', nullable: true } } };
  const { notes } = compiled({ type: 'json-schema', schema, isStrict: false }, language);
  assert.deepEqual(notes.map(({ pointer }) => pointer).sort(), ['/properties/a/format', '/properties/a/nullable']);
  const refused = refusal({ type: 'json-schema', schema, isStrict: true }, language);
  assert.match(refused.pointer, /^\/properties\/a\/(format|nullable)$/);
});

test('whatever schemas are combined, what is finished validates', () => {
  const next = uniforms(8);
  const pick = <T>(...options: readonly T[]) => options[Math.floor(next() * options.length)]!;
  const perhaps = (part: object) => (next() < 0.5 ? part : {});
  const simple = () =>
    pick<unknown>(
      ...[
        true,
        { type: 'string' },
        { type: 'integer' },
        { const: 'a' },
        { enum: [1, 'a', 'bb', null] },
        { minLength: 1 },
      ],
      ...[
        { type: 'string', maxLength: 2 },
        { type: 'number', minimum: -2, maximum: 3.5 },
        { pattern: '^a' },
        { minimum: 2 },
      ],
    );
  // No prefixItems beside contains: the validator takes an empty array there, which no draft does.
  const schema = (depth: number): unknown => {
    if (depth === 0) return simple();
    const inner = () => schema(depth - 1);
    const ab = { a: inner(), b: inner() };
    return pick<() => unknown>(
      () => ({ anyOf: [inner(), inner()] }),
      () => ({ oneOf: [inner(), inner()] }),
      () => ({ allOf: [inner(), inner()] }),
      () => ({ not: inner() }),
      // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema.
      () => ({ if: inner(), then: inner(), ...perhaps({ else: inner() }) }),
      () => ({ type: 'array', items: inner(), ...perhaps({ minItems: 1 }), ...perhaps({ maxItems: pick(1, 3) }) }),
      () => ({ type: 'array', prefixItems: [inner(), inner()], ...perhaps({ items: inner() }) }),
      () => ({ type: 'array', contains: inner(), ...perhaps({ maxContains: 1 }), ...perhaps({ items: inner() }) }),
      () => ({
        type: 'object',
        properties: ab,
        ...perhaps({ required: pick(['a'], ['c']) }),
        ...perhaps({ additionalProperties: pick(false, inner()) }),
      }),
      () => ({ patternProperties: { '^a': inner(), b$: inner() }, ...perhaps({ additionalProperties: false }) }),
      () => ({ properties: ab, dependentRequired: { a: ['b'] }, ...pick({ minProperties: 1 }, { maxProperties: 1 }) }),
      () => ({ properties: ab, dependentSchemas: { a: inner() } }),
      () => ({ type: 'object', propertyNames: simple(), additionalProperties: inner() }),
    )();
  };
  let finished = 0;
  for (let i = 0; i < 100; i++) {
    const combined = schema(3);
    const spec = { type: 'json-schema', schema: combined, isStrict: false } as const;
    const result = compileConstraint(spec, language.vocabulary, language.masks);
    if (result.type === 'refused') continue;
    const validate = new Ajv2020({ strict: false, logger: false }).compile(combined as object);
    for (let k = 0; k < 3; k++) {
      const { text, isOver } = walk(result.constraint, language, next, 120, 5 * k);
      if (!isOver) continue;
      finished++;
      assert.ok(validate(JSON.parse(text)), `${JSON.stringify(combined)}: ${text}`);
    }
  }
  assert.ok(finished > 120, `only ${finished} came to an end`);
});
