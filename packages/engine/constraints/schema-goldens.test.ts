import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniforms } from '@hadal/kernels/parity';
import { compileConstraint } from './constraint.ts';
import { goldenSchemas, validator } from './testing/golden-schemas.ts';
import { nanoLanguage, walk } from './testing/random-walk.ts';

const goldens = goldenSchemas();

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
