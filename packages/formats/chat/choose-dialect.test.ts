import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dsml, specialTokens, systemTurn } from '../special-tokens.ts';
import { v31Template } from '../testing/chat-templates.ts';
import { chooseDialect } from './choose-dialect.ts';
import { deepseekV4 } from './deepseek-v4.ts';
import { deepseekV32 } from './deepseek-v32.ts';
import { deepseekV41 } from './deepseek-v41.ts';

const template = {
  ...{ where: 'test', source: v31Template, toolSource: undefined, addsBos: true },
  ...{ bosToken: '<｜begin▁of▁sentence｜>', eosToken: '<｜end▁of▁sentence｜>' },
};

function choose(modelType: string, hasTemplate: boolean, tokens: readonly string[] = specialTokens) {
  return chooseDialect({
    config: { path: 'config.json', value: { model_type: modelType } },
    template: hasTemplate ? template : undefined,
    tokenizer: { tokenId: (token) => (tokens.includes(token) ? tokens.indexOf(token) : undefined) },
  });
}

test('V3.2 and later are known by their model type, whatever template lies beside them', () => {
  for (const hasTemplate of [true, false]) {
    assert.equal(choose('deepseek_v32', hasTemplate), deepseekV32);
    assert.equal(choose('deepseek_v4', hasTemplate), deepseekV4);
    assert.equal(choose('deepseek_v41', hasTemplate), deepseekV41);
  }
});

test("what our own trainer makes speaks V4, though its tokenizer has V4.1's token for system messages too", () => {
  assert.ok(specialTokens.includes(systemTurn));
  assert.equal(choose('llama', false), deepseekV4);
  assert.equal(choose('llama', true).calls.type, 'opened');
  const without = specialTokens.filter((token) => token !== dsml);
  assert.throws(() => choose('llama', false, without), /config\.json: expected a chat template beside it/);
});
