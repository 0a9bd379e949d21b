import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { uniforms } from '@hadal/kernels/parity';
import { Ajv, type ValidateFunction } from 'ajv';
import draft4 from 'ajv-draft-04';
import formats from 'ajv-formats';
import { compileConstraint } from './constraint.ts';
import { nanoLanguage, walk } from './testing/random-walk.ts';

// A sample of JSONSchemaBench (Geng et al. 2025): schemas as people write them.
const folder = join(import.meta.dirname, '../../../test/golden/json-schemas');
const goldens = readdirSync(folder).map((file) => ({
  file,
  schema: JSON.parse(readFileSync(join(folder, file), 'utf8')) as Record<string, unknown>,
}));

test('at least 95 of 100 schemas compile, and the others are refused for a reason', (t) => {
  const language = nanoLanguage();
  const refused = goldens.flatMap(({ file, schema }) => {
    const spec = { type: 'json-schema', schema, isStrict: false } as const;
    const result = compileConstraint(spec, language.vocabulary, language.masks);
    return result.type === 'refused' ? [`${file} ${result.pointer}: ${result.reason}`] : [];
  });
  for (const line of refused) t.diagnostic(line);
  assert.ok(goldens.length >= 145);
  assert.ok(refused.length <= 0.05 * goldens.length, `${refused.length} of ${goldens.length} were refused`);
  assert.ok(refused.every((line) => / (\/\S+|): \S/.test(line)));
});

test('whatever a model does under a schema, what it has finished validates', () => {
  const language = nanoLanguage();
  const next = uniforms(1);
  let [finished, begun] = [0, 0];
  for (const { file, schema } of goldens) {
    const spec = { type: 'json-schema', schema, isStrict: false } as const;
    const result = compileConstraint(spec, language.vocabulary, language.masks);
    if (result.type === 'refused') continue;
    const validate = validator(schema);
    for (let i = 0; i < 6; i++) {
      begun++;
      const { text, isOver } = walk(result.constraint, language, next, 200, 10 * i);
      if (!isOver) continue;
      finished++;
      assert.ok(validate(JSON.parse(text)), `${file}: ${text}\n${JSON.stringify(validate.errors)}`);
    }
  }
  assert.ok(finished > 0.9 * begun, `only ${finished} of ${begun} came to an end`);
});

/** Formats are checked; unknown keywords are not, as every draft says. */
function validator(schema: Record<string, unknown>): ValidateFunction {
  const { $schema, ...rest } = schema;
  const isOld =
    /draft-0[34]/.test(String($schema)) || /"exclusiveM(in|ax)imum":(true|false)/.test(JSON.stringify(rest));
  const ids = isOld ? withoutIds(rest) : rest;
  const attempts = [true, false].map((unicodeRegExp) => () => {
    const options = {
      strict: false,
      validateSchema: false,
      logger: false,
      multipleOfPrecision: 9,
      unicodeRegExp,
    } as const;
    const ajv = isOld ? new (draft4 as unknown as typeof Ajv)(options) : new Ajv(options);
    (formats as unknown as (ajv: Ajv) => void)(ajv);
    return ajv.compile(ids);
  });
  // Some patterns are written for the mode without the `u` flag and are errors in the other.
  try {
    return attempts[0]!();
  } catch {
    return attempts[1]!();
  }
}

/** One golden repeats an id, which says nothing about values. */
function withoutIds(schema: Record<string, unknown>): Record<string, unknown> {
  return JSON.parse(JSON.stringify(schema), (key, value) =>
    key === 'id' && typeof value === 'string' ? undefined : value,
  );
}
