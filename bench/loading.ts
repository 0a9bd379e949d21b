// How fast does a checkpoint open, and how much memory does that take?
//
// Writes a mixture of 1.1 billion random parameters in bfloat16 and opens it: as published, in every run-time form, and
// converted. Each opening is a process of its own, whose peak of resident memory (the system's count, files it has mapped
// included) is compared with the packed weights. The files are in the page cache, so this is what processors do; a cold disk
// comes on top. Best of three. A converted file is also read through its mapping and from allocated memory, in turns.
//
//     node bench/loading.ts
//
// Writes results/loading.md. Needs 5 GB of disk.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCheckpointDirectory } from '@hadal/formats/checkpoint';
import { writeSafetensors } from '@hadal/formats/safetensors';
import { openDevice } from '@hadal/kernels/device';
import { fill } from '@hadal/kernels/elementwise';
import { measureReading } from '@hadal/kernels/machine';
import { defineModel } from '@hadal/models/architectures';
import { openModel } from '@hadal/models/language-model';
import { convertCheckpoint } from '@hadal/models/packed/convert';
import { runTimeWeights } from '@hadal/models/run-time-weights';
import { everySpec, recordRequests } from '@hadal/models/weight-source';
import { type PackedDtype, packedDtypes } from '@hadal/tensor/packed-matrix';

const repetitions = 3;
const contextLength = 4096;

const config = {
  ...{ model_type: 'deepseek_v3', vocab_size: 32000, hidden_size: 1024, intermediate_size: 4096 },
  ...{ moe_intermediate_size: 768, num_hidden_layers: 8, num_attention_heads: 8, num_key_value_heads: 8 },
  ...{ n_routed_experts: 64, n_shared_experts: 1, num_experts_per_tok: 6, first_k_dense_replace: 1 },
  ...{ kv_lora_rank: 256, qk_nope_head_dim: 64, qk_rope_head_dim: 32, v_head_dim: 64 },
  ...{ max_position_embeddings: 163840, rms_norm_eps: 1e-6 },
};
const definition = defineModel(config, 'bench/loading.ts');
const form = definition.preferredForm;
const assembly = { form, positions: 1, predictor: 'absent' } as const;

interface Opening {
  readonly seconds: number;
  readonly peakBytes: number;
}

/** `node bench/loading.ts open DIRECTORY DTYPE`: what the process of one opening prints. */
function open(directory: string, dtype: PackedDtype): Opening {
  const started = performance.now();
  using device = openDevice();
  using _ = openModel(device, openCheckpointDirectory(directory), { dtype, contextLength });
  return { seconds: (performance.now() - started) / 1000, peakBytes: process.resourceUsage().maxRSS * 1024 };
}

function bestOpening(directory: string, dtype: PackedDtype | 'none'): Opening {
  const openings = Array.from({ length: repetitions }, () => {
    const { stdout, stderr, status } = spawnSync(process.execPath, [import.meta.filename, 'open', directory, dtype]);
    if (status !== 0) throw new Error(`opening failed: ${stderr}`);
    return JSON.parse(String(stdout)) as Opening;
  });
  const peakBytes = Math.min(...openings.map((opening) => opening.peakBytes));
  return { seconds: Math.min(...openings.map(({ seconds }) => seconds)), peakBytes };
}

/** Returns the bytes of its weights. */
function writeCheckpoint(directory: string): number {
  mkdirSync(directory);
  const shapes = new Map(
    everySpec((source) => definition.assemble(source, assembly)).flatMap(({ parts }) =>
      parts.map(({ name, shape }) => [name, shape] as const),
    ),
  );
  const noise = Uint16Array.from({ length: 2 ** 22 }, () => {
    // A bfloat16 of about 0.02, of either sign.
    return (Math.random() < 0.5 ? 0x8000 : 0) | (0x3c00 + Math.floor(Math.random() * 0x100));
  });
  const bytesOf = (shape: readonly number[]) => 2 * shape.reduce((product, n) => product * n, 1);
  const random = (bytes: number) => {
    const data = Buffer.alloc(bytes);
    const source = Buffer.from(noise.buffer);
    for (let at = 0; at < bytes; at += source.length) source.copy(data, at);
    return data;
  };
  const tensors = [...shapes].map(([name, shape]) => ({
    ...{ name, shape, dtype: 'BF16' as const },
    data: () => random(bytesOf(shape)),
  }));
  writeSafetensors(join(directory, 'model.safetensors'), tensors);
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  return [...shapes.values()].reduce((sum, shape) => sum + bytesOf(shape), 0);
}

/** Gigabytes a second, medians of reading in turns: through the mapping of a file, and from allocated memory. */
function readingRates(path: string, bytes: number): { mapped: number; allocated: number } {
  using device = openDevice();
  const length = Math.min(bytes, 2 ** 29);
  const mapped = { handle: device.memory.mapFile(path, 0, length), bytes: length };
  const allocated = { handle: device.memory.allocate(length), bytes: length };
  fill(device.commands, { handle: allocated.handle, offset: 0, length: length / 4 }, 1);
  device.commands.run();
  measureReading(device, mapped);
  const rates = Array.from({ length: 15 }, () => [mapped, allocated].map((buffer) => measureReading(device, buffer)));
  const median = (which: 0 | 1) => rates.map((pair) => pair[which]!).sort((a, b) => a - b)[7]! / 1e9;
  return { mapped: median(0), allocated: median(1) };
}

async function bench(): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'hadal-loading-'));
  try {
    const published = join(scratch, 'published');
    const storedBytes = writeCheckpoint(published);
    const { weights: requests } = recordRequests((source) => definition.assemble(source, assembly));
    const base = bestOpening(published, 'none').peakBytes;
    const lines: string[][] = [];
    let reading = { mapped: 0, allocated: 0 };
    for (const dtype of packedDtypes) {
      const packedBytes = runTimeWeights(requests, dtype).reduce((sum, { bytes }) => sum + bytes, 0);
      const loaded = bestOpening(published, dtype);
      const converted = join(scratch, dtype);
      const started = performance.now();
      using device = openDevice();
      const { bytes } = await convertCheckpoint(device, openCheckpointDirectory(published), converted, { dtype });
      const conversion = (performance.now() - started) / 1000;
      const mapped = bestOpening(converted, dtype);
      if (dtype === 'int8') reading = readingRates(join(converted, 'packed-00001.safetensors'), bytes);
      rmSync(converted, { recursive: true });
      lines.push([
        ...[dtype, (packedBytes / 1e9).toFixed(2), loaded.seconds.toFixed(2)],
        ...[
          (storedBytes / loaded.seconds / 1e9).toFixed(2),
          ((loaded.peakBytes - base - packedBytes) / 1e6).toFixed(0),
        ],
        ...[conversion.toFixed(2), (mapped.seconds * 1000).toFixed(0), ((mapped.peakBytes - base) / 1e6).toFixed(0)],
      ]);
    }
    const head = [
      '',
      'weights, GB',
      'load, s',
      'GB/s of file',
      'beside, MB',
      'convert, s',
      'open converted, ms',
      'takes, MB',
    ];
    const table = [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
    const report = `# Opening a checkpoint

${new Date().toISOString().slice(0, 10)}, ${cpus()[0]?.model.trim()}, ${availableParallelism()} cores.

${table}

A mixture of ${(storedBytes / 2e9).toFixed(1)} billion parameters, ${(storedBytes / 1e9).toFixed(2)} GB in bfloat16, in the page cache; best of ${repetitions}. *Beside*: the peak of
resident memory above a process that opens nothing, less the weights; converted, there is nothing to take off. A converted
file is read through its mapping at ${reading.mapped.toFixed(1)} GB/s, allocated memory at ${reading.allocated.toFixed(1)} GB/s. \`npm run bench -- loading\` repeats it.
`;
    console.log(report);
    writeFileSync(join(import.meta.dirname, 'results/loading.md'), report);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

const [command, directory = '', dtype = ''] = process.argv.slice(2);
if (command === undefined) await bench();
else if (dtype === 'none')
  console.log(JSON.stringify({ seconds: 0, peakBytes: process.resourceUsage().maxRSS * 1024 }));
else console.log(JSON.stringify(open(directory, dtype as PackedDtype)));
