import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openEngine } from '@hadal/engine/engine';
import { deepseekV4 } from '@hadal/formats/chat/deepseek-v4';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { evaluate } from './evaluate.ts';
import { taskNamed } from './tasks/registry.ts';
import { nanoDirectory } from './testing/toy-job.ts';

test('answers are greedy, or drawn at a temperature: others then, and the same ones every time', async () => {
  await using engine = await openEngine({ checkpoint: openCheckpointDirectory(nanoDirectory), threads: 1 });
  const stopTokens = [engine.tokenizer.tokenId('<｜end▁of▁sentence｜>') as number];
  const measure = async (temperature?: number) =>
    await evaluate({ engine, dialect: deepseekV4, stopTokens }, taskNamed('countdown'), {
      ...{ split: 'validation', first: 0, count: 6, thinking: 'on' },
      ...(temperature !== undefined && { temperature }),
    });
  const [usual, greedy, drawn, again] = [await measure(), await measure(0), await measure(1.5), await measure(1.5)];
  assert.equal(usual.count, 6);
  assert.deepEqual(greedy.meanTokens, usual.meanTokens);
  assert.notEqual(drawn.meanTokens, greedy.meanTokens);
  assert.deepEqual(again.meanTokens, drawn.meanTokens);
});
