import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkStrictSchema } from './strict-dialect.ts';

const strict = (properties: Record<string, unknown>) => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
});

test('what DeepSeek documents for strict functions passes', () => {
  const schema = {
    ...strict({
      name: { type: 'string', pattern: '^a', description: 'a name' },
      mail: { type: 'string', format: 'email' },
      n: { type: 'integer', minimum: 0, exclusiveMaximum: 9, multipleOf: 3, default: 3 },
      any: { anyOf: [{ type: 'string', enum: ['a'] }, { type: 'null' }] },
      list: { type: 'array', items: { $ref: '#/$defs/node' } },
      flag: { type: ['boolean', 'null'] },
    }),
    $defs: { node: strict({ next: { $ref: '#/$defs/node' } }) },
  };
  assert.equal(checkStrictSchema(schema), undefined);
});

test('everything else is named by its place', () => {
  for (const [schema, pointer, reason] of [
    [{ type: 'object', properties: {} }, '/additionalProperties', /expected false/],
    [{ ...strict({ a: { type: 'string' } }), required: [] }, '/required', /"a" is missing/],
    [strict({ a: { type: 'string', minLength: 1 } }), '/properties/a/minLength', /not supported/],
    [strict({ a: { type: 'array', items: {}, maxItems: 2 } }), '/properties/a/maxItems', /not supported/],
    [strict({ a: { type: 'string', format: 'date' } }), '/properties/a/format', /expected one of email/],
    [strict({ 'a/b': { oneOf: [] } }), '/properties/a~1b/oneOf', /not supported/],
    [strict({ a: { anyOf: [{ type: 'object' }] } }), '/properties/a/anyOf/0/additionalProperties', /expected false/],
    [strict({ a: { type: 'text' } }), '/properties/a/type', /expected one of object/],
    [[], '', /expected a schema/],
  ] as const) {
    const problem = checkStrictSchema(schema);
    assert.equal(problem?.pointer, pointer);
    assert.match(problem.reason, reason);
  }
});
