// Does Hugging Face transformers compute from a checkpoint of ours what Hadal computes?
//
// Gives peers/check_transformers.py some prompts with Hadal's token ids, its logits at every position and its greedy
// continuations; that program loads the same directory as it lies there, in float32, and compares. Both sides read
// bfloat16 weights and calculate in float32, so logits differ by rounding only: 1e-3 is the limit, continuations and ids
// must be equal.
//
//     PYTHON=/path/to/python node bench/transformers.ts [DIRECTORY]
//
// where that Python has torch, safetensors and transformers 5; DIRECTORY is models/hadal-nano when absent.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { openEngine, plainRequest } from '@hadal/engine/engine';
import { encodeMessages } from '@hadal/formats/chat/deepseek-v4';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { type TensorSource, writeSafetensors } from '@hadal/formats/safetensors';
import { beginOfSentence, endOfSentence } from '@hadal/formats/special-tokens';
import { openDevice } from '@hadal/kernels/device';
import { openModel } from '@hadal/models/language-model';
import { PackedDocuments } from '@hadal/models/layers/attention-memory';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';

const completionTokens = 96;

const ask = (content: string, thinking: boolean) => encodeMessages([{ role: 'user', content }], { thinking });

const prompts = [
  ask('9.11 and 9.8, which is greater?', true),
  ask('9.11 和 9.8 哪个大？', true),
  ask("How many Rs are there in the word 'strawberry'?", true),
  ask('What is 48213 + 9977?', true),
  ask('Use the numbers 3, 7 and 25 to reach 46.', false),
  ask('Who are you?', false),
  `${beginOfSentence}Plain text — naïve café, 深海挑战者, 🐙🌊 – with\ttabs,\n\n  spaces and 3.14159 in it.`,
  beginOfSentence,
];

/** Logits of every position of one prompt, [tokens, vocabulary], as the engine's own model computes them. */
function logitsOf(directory: string, sequences: readonly (readonly number[])[]): TensorSource[] {
  using device = openDevice();
  using model = openModel(device, openCheckpointDirectory(directory));
  using arena = new Arena(device.memory);
  return sequences.map((ids, index) => {
    arena.reset();
    const g = new Graph(device, arena, 'inference');
    const documents = new PackedDocuments(arena, [ids.length]);
    const hidden = model.forward(g, arena.integers(Int32Array.from(ids)), documents.positions, documents);
    const logits = g.linear(hidden, model.head);
    g.run();
    const values = new Float32Array(logits.length);
    device.memory.read(logits, values);
    return { name: String(index), dtype: 'F32', shape: logits.shape, data: new Uint8Array(values.buffer) };
  });
}

async function continuationsOf(directory: string, sequences: readonly (readonly number[])[]): Promise<number[][]> {
  await using engine = await openEngine({ checkpoint: openCheckpointDirectory(directory) });
  const end = engine.tokenizer.tokenId(endOfSentence);
  const continuations: number[][] = [];
  for (const prompt of sequences) {
    const request = {
      ...{ ...plainRequest, prompt, maxTokens: completionTokens },
      stopTokens: end === undefined ? [] : [end],
    };
    const ids: number[] = [];
    for await (const event of engine.generate(request)) if (event.type === 'token') ids.push(event.id);
    continuations.push(ids);
  }
  return continuations;
}

const model = resolve(process.argv[2] ?? join(import.meta.dirname, '..', 'models', 'hadal-nano'));
const python = process.env.PYTHON;
if (python === undefined) {
  console.log('PYTHON must name a Python with torch, safetensors and transformers 5: nothing is compared.');
} else if (!existsSync(join(model, 'config.json'))) {
  console.error(`${model}: expected a model directory, found no config.json in it`);
  process.exitCode = 1;
} else {
  const exchange = mkdtempSync(join(tmpdir(), 'hadal-transformers-'));
  try {
    const tokenizer = openCheckpointDirectory(model).tokenizer();
    const sequences = prompts.map((text) => tokenizer.encode(text));
    const continuations = await continuationsOf(model, sequences);
    writeSafetensors(join(exchange, 'logits.safetensors'), logitsOf(model, sequences));
    const cases = prompts.map((text, i) => ({ text, ids: sequences[i], continuation: continuations[i] }));
    writeFileSync(join(exchange, 'prompts.json'), JSON.stringify({ completionTokens, cases }));
    const script = join(import.meta.dirname, 'peers', 'check_transformers.py');
    const { status, error } = spawnSync(python, [script, model, exchange], { stdio: 'inherit' });
    if (error) console.error(`${python}: ${error.message}`);
    process.exitCode = status ?? 1;
  } finally {
    rmSync(exchange, { recursive: true });
  }
}
