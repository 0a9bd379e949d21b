import assert from 'node:assert/strict';
import { test } from 'node:test';
import { architectures, defineModel } from './architectures.ts';

test('a model_type that we do not have is refused with the file, the key and those that we have', () => {
  assert.throws(
    () => defineModel({ model_type: 'gpt2', architectures: ['DeepseekV3ForCausalLM'] }, 'DIR/config.json'),
    (error: Error) => {
      assert.match(error.message, /^DIR\/config\.json: model_type: expected one of .*; found "gpt2"$/);
      for (const name of Object.keys(architectures)) assert.ok(error.message.includes(name), name);
      return true;
    },
  );
  assert.throws(
    () => defineModel({ architectures: ['GptForCausalLM'] }, 'x'),
    /found no model_type and .*GptForCausal/,
  );
  assert.throws(() => defineModel(null, 'x'), /^Error: x: model_type: expected one of/);
  assert.throws(() => defineModel({ model_type: 'constructor' }, 'x'), /found "constructor"/);
});

test('without a model_type the name of the class decides, and what is wrong is said of the file and the key', () => {
  for (const { className } of Object.values(architectures)) {
    assert.throws(
      () => defineModel({ architectures: [className] }, 'DIR/config.json'),
      /^Error: DIR\/config\.json: \w+: /,
    );
  }
});
