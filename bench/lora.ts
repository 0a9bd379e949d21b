// What do memory and time of LoRA on a model of 1.5 billion weights come to, and what with PEFT?
//
// One document of 512 tokens (or more) a step, rank 16 beside every matrix, on random weights of the shape of
// DeepSeek-R1-Distill-Qwen-1.5B. Hadal keeps the base in float32, bfloat16, int8 or int4 and calculates in float32; PyTorch with
// PEFT keeps it and calculates in float32 or bfloat16. Each measurement is a process of its own, one at a time, in turns; memory
// is the process's largest resident size, everything included.
//
//     PYTHON=/path/to/python node bench/lora.ts [TURNS] [DOCUMENTS]
//
// where that Python has torch, transformers 5 and peft; then a part of results/training.md is written. Without, only Hadal is
// timed. float32 needs 10 GB.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { shapes } from './inference/shapes.ts';
import { circumstances, median, writeResults } from './results-section.ts';

export interface LoraWork {
  readonly config: object;
  readonly threads: number;
  readonly rank: number;
  readonly alpha: number;
  /** Token ids. */
  readonly documents: readonly (readonly number[])[];
  readonly steps: number;
}

/** Seconds of each step, of wall and of all threads' processors; bytes resident at most, after loading and in all. */
export interface LoraAnswer {
  readonly wall: readonly number[];
  readonly cpu: readonly number[];
  readonly losses: readonly number[];
  /** Numbers in training. */
  readonly trained: number;
  readonly versions: string;
  readonly loadedBytes: number;
  readonly peakBytes: number;
}

type Activations = 'kept' | 'recomputed';

interface Variant {
  readonly by: 'Hadal' | 'PEFT';
  readonly dtype: 'f32' | 'bf16' | 'int8' | 'int4';
  readonly activations: Activations;
}

const documentTokens = 512;
/** The first also allocates; it does not count. */
const steps = 2;
const threads = 2;

async function main(turns: number, count: number): Promise<void> {
  const python = process.env.PYTHON;
  const directory = mkdtempSync(join(tmpdir(), 'hadal-lora-'));
  try {
    const { config, vocabularySize, name } = shapes.qwen;
    const documents = Array.from({ length: count }, (_, d) =>
      Array.from({ length: documentTokens }, (_, i) => (d * 104_729 + i * 7919) % vocabularySize),
    );
    const work: LoraWork = { config, threads, rank: 16, alpha: 32, documents, steps };
    writeFileSync(join(directory, 'work.json'), JSON.stringify(work));
    const variants = variantsOf(python !== undefined);
    const answers = variants.map((): LoraAnswer[] => []);
    for (let turn = 0; turn < turns; turn++) {
      for (const [v, variant] of variants.entries()) {
        const answer = await measure(variant, directory, python ?? '');
        answers[v]?.push(answer);
        console.log(`turn ${turn}, ${Object.values(variant).join(' ')}: ${JSON.stringify(answer)}`);
      }
    }
    const text = table(variants, answers, count * documentTokens);
    console.log(`\n${text}\n`);
    if (python === undefined) return;
    const versions = answers.flat().find((answer) => answer.versions !== '')?.versions;
    writeResults(
      'training.md',
      'LoRA: Hadal and PEFT',
      `${circumstances()}; ${versions}. The shape of ${name}, random weights, rank ${work.rank} beside every matrix
but the head, ${count} x ${documentTokens} tokens a step, all of them supervised, AdamW, ${threads} threads. Medians of ${turns * (steps - 1)} steps in ${turns} processes; memory is
the largest resident size. \`PYTHON=... node bench/lora.ts ${turns} ${count}\` repeats it.

${text}`,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function variantsOf(hasPeer: boolean): Variant[] {
  const only = process.env.VARIANTS?.split(',');
  const all: Variant[] = (['kept', 'recomputed'] as const).flatMap((activations) => [
    ...(['f32', 'bf16', 'int8', 'int4'] as const).map((dtype): Variant => ({ by: 'Hadal', dtype, activations })),
    ...(hasPeer ? (['f32', 'bf16'] as const) : []).map((dtype): Variant => ({ by: 'PEFT', dtype, activations })),
  ]);
  return only ? all.filter(({ by, dtype, activations }) => only.includes(`${by}-${dtype}-${activations}`)) : all;
}

async function measure({ by, dtype, activations }: Variant, directory: string, python: string): Promise<LoraAnswer> {
  const [program, ...words] =
    by === 'Hadal'
      ? [process.execPath, join(import.meta.dirname, 'lora', 'hadal.ts'), directory, dtype, activations]
      : [
          ...[python, join(import.meta.dirname, 'peers', 'train_peft.py'), directory, '--dtype', dtype],
          ...(activations === 'recomputed' ? ['--recompute'] : []),
        ];
  // Threads of PyTorch that spin while they wait cost it much of its speed on a busy machine; Hadal takes large pages as well.
  const env = {
    ...process.env,
    OMP_WAIT_POLICY: 'passive',
    GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1',
    HF_HUB_OFFLINE: '1',
  };
  const { stdout } = await promisify(execFile)(program as string, words, { env, maxBuffer: 2 ** 24 });
  return JSON.parse(stdout.trim().split('\n').at(-1) as string) as LoraAnswer;
}

function table(variants: readonly Variant[], answers: readonly (readonly LoraAnswer[])[], tokens: number): string {
  const lines = variants.map(({ by, dtype, activations }, v) => {
    const mine = answers[v] as readonly LoraAnswer[];
    const gigabytes = (of: (answer: LoraAnswer) => number) => (median(mine.map(of)) / 1e9).toFixed(2);
    const rate = (of: (answer: LoraAnswer) => readonly number[]) =>
      (tokens / median(mine.flatMap((answer) => of(answer).slice(1)))).toFixed(1);
    const memory = [gigabytes((answer) => answer.loadedBytes), gigabytes((answer) => answer.peakBytes)];
    return `| ${by}, ${dtype} | ${activations} | ${[...memory, rate((answer) => answer.wall), rate((answer) => answer.cpu)].join(' | ')} |`;
  });
  const head = '| base | activations | GB after loading | GB at most | tokens/s | tokens per processor second |';
  return [head, '|---|---|---|---|---|---|', ...lines].join('\n');
}

if (import.meta.main) {
  const [turns = 2, documents = 1] = process.argv.slice(2).map(Number);
  await main(turns, documents);
}
