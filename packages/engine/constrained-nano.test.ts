import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpoint } from '@hadal/formats/checkpoint';
import { goldenSchemas, validator } from './constraints/testing/golden-schemas.ts';
import { openEngine, plainRequest } from './engine.ts';

test('whatever hadal-nano says under a schema validates, as far as it comes to an end', async (t) => {
  const checkpoint = await openCheckpoint(join(import.meta.dirname, '../../models/hadal-nano'));
  await using engine = await openEngine({ checkpoint });
  const { tokenizer } = engine;
  const prompt = tokenizer.encode(
    '<｜begin▁of▁sentence｜><｜User｜>Give me an example in JSON.<｜Assistant｜></think>',
  );
  const stopTokens = [tokenizer.tokenId('<｜end▁of▁sentence｜>') as number];

  async function answer(schema: Record<string, unknown>, seed: number) {
    const constraint = { type: 'json-schema', schema, isStrict: false } as const;
    // As it is, it repeats itself least.
    const sampling = { temperature: 1, speculation: { method: 'mtp', draftTokens: 'adaptive' } } as const;
    const request = { ...plainRequest, ...sampling, prompt, constraint, stopTokens, seed, maxTokens: 300 };
    let text = '';
    for await (const event of engine.generate(request)) {
      if (event.type === 'unenforceable') return 'refused';
      if (event.type === 'token') text += event.text;
      if (event.type === 'finish' && event.reason === 'length') return 'cut off';
    }
    const validate = validator(schema);
    assert.ok(validate(JSON.parse(text)), `${JSON.stringify(validate.errors)} in ${text}`);
    return 'valid';
  }

  const goldens = goldenSchemas();
  const outcomes = await Promise.all(goldens.map(({ schema }, seed) => answer(schema, seed)));
  const count = (outcome: string) => outcomes.filter((other) => other === outcome).length;
  t.diagnostic(['valid', 'cut off', 'refused'].map((outcome) => `${outcome}: ${count(outcome)}`).join(', '));
  assert.ok(count('refused') <= 0.05 * goldens.length);
  // A model this small goes on and on in strings of which it knows nothing.
  assert.ok(count('valid') >= 0.35 * goldens.length, `only ${count('valid')} of ${goldens.length} came to an end`);
});
