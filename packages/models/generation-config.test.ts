import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { deepseekV4 } from '@hadal/formats/chat/deepseek-v4';
import { type Checkpoint, openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { readGenerationDefaults, readStopTokens } from './generation-config.ts';

async function withFiles(files: Record<string, string | Uint8Array>, use: (checkpoint: Checkpoint) => unknown) {
  const directory = await mkdtemp(join(tmpdir(), 'hadal-checkpoint-'));
  try {
    for (const [name, content] of Object.entries({ 'config.json': '{}', ...files })) {
      await writeFile(join(directory, name), content);
    }
    await use(openCheckpointDirectory(directory));
  } finally {
    await rm(directory, { recursive: true });
  }
}

test('defaults are what the publisher wrote, and all tokens as they are where he wrote nothing', async () => {
  const cases: [object | undefined, object][] = [
    [undefined, { temperature: 1, topK: undefined, topP: 1 }],
    [
      { temperature: 0.6, top_p: 0.95, top_k: 20, eos_token_id: 1, do_sample: true },
      { temperature: 0.6, topK: 20, topP: 0.95 },
    ],
    [
      { do_sample: false, temperature: 0.6, top_k: 0 },
      { temperature: 0, topK: undefined, topP: 1 },
    ],
    [
      { temperature: null, top_p: null, top_k: null, max_length: 20 },
      { temperature: 1, topK: undefined, topP: 1 },
    ],
  ];
  for (const [config, expected] of cases) {
    const files: Record<string, string> =
      config === undefined ? {} : { 'generation_config.json': JSON.stringify(config) };
    await withFiles(files, (checkpoint) => assert.deepEqual(readGenerationDefaults(checkpoint), expected));
  }
});

test("an answer stops at the ids that the files name, the generation's before the model's, and at the dialect's", async () => {
  const end = 3;
  const tokenizer = { tokenId: (token: string) => (token === '<｜end▁of▁sentence｜>' ? end : undefined) };
  const cases: [generation: unknown, model: unknown, expected: number[]][] = [
    [undefined, undefined, [end]],
    [end, 7, [end]],
    [[9, 8], 7, [9, 8, end]],
    [undefined, 7, [7, end]],
    [null, [7], [7, end]],
  ];
  for (const [generation, model, expected] of cases) {
    const files = {
      'config.json': JSON.stringify({ eos_token_id: model }),
      'generation_config.json': JSON.stringify({ eos_token_id: generation }),
    };
    await withFiles(files, (checkpoint) => {
      assert.deepEqual(readStopTokens(checkpoint, deepseekV4, tokenizer), expected);
    });
  }
});

test('a damaged generation_config.json is named in one line', async () => {
  for (const [content, message] of [
    ['{', /generation_config\.json: expected JSON, [^\n]*$/],
    ['{"temperature": "hot"}', /generation_config\.json: [^\n]*expected number[^\n]*temperature$/],
  ] as const) {
    await withFiles({ 'generation_config.json': content }, (checkpoint) => {
      assert.throws(() => readGenerationDefaults(checkpoint), message);
    });
  }
});
