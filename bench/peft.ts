// Does Python's PEFT compute with an adapter of ours what Hadal computes, and Hadal with one of PEFT's?
//
// Writes adapters of random values for the golden models and gives peers/check_peft.py their logits; that program loads them onto
// Hugging Face's models in float32 and compares, then makes adapters of its own, whose logits are compared here. Both sides
// calculate in float32 and differ by rounding only: 1e-3 is the limit.
//
//     PYTHON=/path/to/python node bench/peft.ts
//
// where that Python has torch, safetensors, transformers 5 and peft.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { openSafetensors, writeSafetensors } from '@hadal/formats/safetensors';
import { openDevice } from '@hadal/kernels/device';
import type { AdapterConfig } from '@hadal/models/adapters/adapter-config';
import { openAdapter } from '@hadal/models/adapters/adapter-files';
import { openModel } from '@hadal/models/language-model';
import { PackedDocuments } from '@hadal/models/layers/attention-memory';
import { writeRandomAdapter } from '@hadal/models/testing/random-adapter';
import { Arena } from '@hadal/tensor/arena';
import { Graph } from '@hadal/tensor/graph';

const tolerance = 1e-3;
const ids = Array.from({ length: 48 }, (_, i) => (i * 17 + 3) % 128);
const names = ['qwen2', 'llama', 'deepseek-v2', 'deepseek-v3'];
const directoryOf = (name: string) => join(import.meta.dirname, '..', 'test', 'golden', name);

const configs: Readonly<Record<string, AdapterConfig>> = {
  all: { rank: 4, alpha: 8, scaling: 'byRank', targets: 'all-linear' },
  root: { rank: 3, alpha: 5, scaling: 'byRoot', targets: 'all-linear' },
  some: { rank: 8, alpha: 8, scaling: 'byRank', targets: ['o_proj', 'up_proj'] },
};

/** Logits of every position, [tokens * vocabulary], with the adapter in `directory`. */
function logitsOf(name: string, directory: string): { values: Float32Array<ArrayBuffer>; shape: readonly number[] } {
  using device = openDevice();
  const form = name.startsWith('deepseek') ? 'expanded' : 'standard';
  using model = openModel(device, openCheckpointDirectory(directoryOf(name)), {
    dtype: 'f32',
    form,
    contextLength: 128,
  });
  using arena = new Arena(device.memory);
  model.adapters?.load('it', openAdapter(directory));
  const g = new Graph(device, arena, 'inference');
  const documents = new PackedDocuments(arena, [ids.length]);
  const rows = [{ adapter: 'it', begin: 0, count: ids.length }];
  const hidden = g.withAdapters(rows, () =>
    model.forward(g, arena.integers(Int32Array.from(ids)), documents.positions, documents),
  );
  const logits = g.linear(hidden, model.head);
  g.run();
  const values = new Float32Array(logits.length);
  device.memory.read(logits, values);
  return { values, shape: logits.shape };
}

function main(python: string, exchange: string): number {
  const cases = names.flatMap((name, i) =>
    Object.entries(configs).map(([kind, config]) => {
      const [label, base] = [`${name}-${kind}`, directoryOf(name)];
      const adapter = join(exchange, label);
      writeRandomAdapter(adapter, openCheckpointDirectory(base), config, { seed: i });
      const { values, shape } = logitsOf(name, adapter);
      const logits = { name: 'logits', dtype: 'F32' as const, shape, data: new Uint8Array(values.buffer) };
      writeSafetensors(join(exchange, `${label}.safetensors`), [logits]);
      return { name: label, base, adapter };
    }),
  );
  const bases = Object.fromEntries(names.map((name) => [name, directoryOf(name)]));
  writeFileSync(join(exchange, 'work.json'), JSON.stringify({ ids, cases, bases }));
  const script = join(import.meta.dirname, 'peers', 'check_peft.py');
  const { status, error } = spawnSync(python, [script, exchange], { stdio: 'inherit' });
  if (error) console.error(`${python}: ${error.message}`);
  if (status !== 0) return status ?? 1;
  const differences = names.map((name) => {
    const expected = openSafetensors(join(exchange, `peft-${name}.safetensors`)).readFloat32('logits');
    const { values } = logitsOf(name, join(exchange, `peft-${name}`));
    const difference = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - (values[i] as number))), 0);
    console.log(`${`${name}, PEFT's adapter`.padEnd(32)} difference ${difference.toExponential(1)}`);
    return difference;
  });
  return differences.every((difference) => difference <= tolerance) ? 0 : 1;
}

const python = process.env.PYTHON;
if (python === undefined) {
  console.log('PYTHON must name a Python with torch, safetensors, transformers 5 and peft: nothing is compared.');
} else {
  const exchange = mkdtempSync(join(tmpdir(), 'hadal-peft-'));
  try {
    process.exitCode = main(python, exchange);
  } finally {
    rmSync(exchange, { recursive: true });
  }
}
