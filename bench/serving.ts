// How does Hadal serve many at once, and how does llama.cpp, on a model of the same shape?
//
// Both read the same file of random weights on the same threads, each in a process of its own, and take turns. Hadal is
// asked through its engine, with queue, sampling and text; llama.cpp is driven batch by batch as llama-server drives it, and
// only its decoding is timed. Then Hadal alone: how soon a long prompt answers that it has read before, in this process and
// after a restart.
//
//     node bench/serving.ts [int8|int4]
//
// llama.cpp runs where node-llama-cpp is installed beside peers/llama-cpp (bench/inference.ts says how); without, only Hadal
// is timed. With it, results/serving-FORMAT.md are written.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Contestant } from './inference/contestant.ts';
import { type Format, shapes } from './inference/shapes.ts';
import { writeRandomGguf } from './peers/llama-cpp/gguf.ts';

const rounds = 5;
const streamCounts = [1, 4, 16, 64];
const streamTokens = 24;
const arrivalStreams = 16;
const arrivalPrompt = 4000;
const repeatedPrompt = 8000;
const threads = availableParallelism();
const peers = join(import.meta.dirname, 'peers', 'llama-cpp');
const hasPeer = existsSync(join(peers, 'node_modules', 'node-llama-cpp'));

const [format = 'int8', ...rest] = process.argv.slice(2);
if ((format !== 'int8' && format !== 'int4') || rest.length > 0) {
  throw new Error(`expected int8 or int4, got ${process.argv.slice(2).join(' ')}`);
}
await compare(format);

async function compare(format: Format): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-serving-'));
  const load = { shape: 'qwen', format, threads, file: join(directory, 'weights.gguf') } as const;
  const { metadata, tensors } = shapes.qwen.gguf(format);
  writeRandomGguf(load.file, metadata, tensors);
  const prefixes = join(directory, 'prefixes');
  const openHadal = async (where?: string) => {
    const hadal = new Contestant('Hadal', join(import.meta.dirname, 'serving', 'hadal.ts'));
    await hadal.ask('load', { ...load, prefixes: where });
    return hadal;
  };
  const contestants = [await openHadal(), ...(hasPeer ? [new Contestant('llama.cpp', join(peers, 'engine.ts'))] : [])];
  try {
    await contestants[1]?.ask('load', load);
    const lines = [...(await measureStreams(contestants)), '', ...(await measureArrival(contestants)), ''];
    for (const contestant of contestants) await contestant.close();
    lines.push(...(await measureRepetition(() => openHadal(prefixes))));
    const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${threads} threads`;
    const text = [
      `# Serving: ${shapes.qwen.name}, ${format}${hasPeer ? ' beside llama.cpp' : ''}`,
      '',
      `${new Date().toISOString().slice(0, 10)}, ${machine}. Random weights; medians of ${rounds} turns.`,
      '',
      ...lines,
      '',
    ].join('\n');
    console.log(`\n${text}`);
    if (hasPeer) writeFileSync(join(import.meta.dirname, 'results', `serving-${format}.md`), text);
  } finally {
    for (const contestant of contestants) await contestant.close();
    rmSync(directory, { recursive: true });
  }
}

async function measureStreams(contestants: readonly Contestant[]): Promise<string[]> {
  const rates = streamCounts.map(() => contestants.map((): number[] => []));
  for (let round = 0; round <= rounds; round++) {
    for (const [s, count] of streamCounts.entries()) {
      for (const c of order(contestants, round)) {
        const { seconds, tokens } = await (contestants[c] as Contestant).ask('streams', {
          count,
          tokens: streamTokens,
        });
        // The first round also fills caches; it does not count.
        if (round > 0) rates[s]?.[c]?.push(tokens / seconds);
      }
    }
    console.log(
      `streams, round ${round}: ${JSON.stringify(rates.map((of) => of.map((all) => all.at(-1)?.toFixed(1))))}`,
    );
  }
  return [
    '| streams, tokens per second together | Hadal | llama.cpp | ratio |',
    '|---|---|---|---|',
    ...streamCounts.map((count, s) => `| ${count} | ${cells(rates[s] as number[][], (a, b) => a / b, 1)} |`),
  ];
}

async function measureArrival(contestants: readonly Contestant[]): Promise<string[]> {
  const question = { streams: arrivalStreams, promptTokens: arrivalPrompt };
  const first = contestants.map((): number[] => []);
  const gaps = contestants.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const c of order(contestants, round)) {
      const { firstTokenSeconds, gapSeconds } = await (contestants[c] as Contestant).ask('arrival', {
        ...question,
        round,
      });
      first[c]?.push(firstTokenSeconds);
      gaps[c]?.push(...gapSeconds);
    }
    console.log(`arrival, round ${round}: ${first.map((all) => all.at(-1)?.toFixed(2)).join(' ')} s`);
  }
  const p95 = (values: readonly number[]) => quantile(values, 0.95);
  const row = (name: string, of: (values: readonly number[]) => number, values: readonly number[][]) => {
    const [ours = Number.NaN, theirs = Number.NaN] = values.map(of);
    return `| ${name} | ${ours.toFixed(2)} | ${theirs.toFixed(2)} | ${(theirs / ours).toFixed(2)} |`;
  };
  return [
    `| a prompt of ${arrivalPrompt} tokens among ${arrivalStreams} streams, seconds | Hadal | llama.cpp | ratio |`,
    '|---|---|---|---|',
    row('to its first token, 95th percentile', p95, first),
    row('to its first token, median', median, first),
    row("between the streams' tokens meanwhile, median", median, gaps),
    row("between the streams' tokens meanwhile, 95th percentile", p95, gaps),
  ];
}

async function measureRepetition(open: () => Promise<Contestant>): Promise<string[]> {
  const times = { cold: [] as number[], warm: [] as number[], restarted: [] as number[] };
  let hits = '';
  for (let round = 0; round < 3; round++) {
    const question = { tokens: repeatedPrompt, round };
    const hadal = await open();
    const [cold, warm] = [await hadal.ask('prompt', question), await hadal.ask('prompt', question)];
    await hadal.ask('close', {});
    await hadal.close();
    const again = await open();
    const restarted = await again.ask('prompt', question);
    await again.ask('close', {});
    await again.close();
    times.cold.push(cold.firstTokenSeconds);
    times.warm.push(warm.firstTokenSeconds);
    times.restarted.push(restarted.firstTokenSeconds);
    hits = `${cold.hitTokens}, ${warm.hitTokens} and ${restarted.hitTokens}`;
    console.log(
      `repetition, round ${round}: ${[cold, warm, restarted].map((x) => x.firstTokenSeconds.toFixed(3)).join(' ')}`,
    );
  }
  const cold = median(times.cold);
  const share = (values: readonly number[]) => `${((100 * median(values)) / cold).toFixed(2)} %`;
  return [
    `| a prompt of ${repeatedPrompt} tokens, to its first token | seconds | of cold |`,
    '|---|---|---|',
    `| cold | ${cold.toFixed(2)} | |`,
    `| again | ${median(times.warm).toFixed(3)} | ${share(times.warm)} |`,
    `| after a restart | ${median(times.restarted).toFixed(3)} | ${share(times.restarted)} |`,
    '',
    `Tokens found in the cache: ${hits}. Medians of 3.`,
  ];
}

function order(contestants: readonly Contestant[], round: number): number[] {
  const places = [...contestants.keys()];
  return round % 2 === 0 ? places : places.reverse();
}

/** Medians of both, and of the turns' ratios. */
function cells(values: readonly number[][], ratio: (ours: number, theirs: number) => number, digits: number): string {
  const [ours = [], theirs = []] = values;
  const ratios = ours.map((mine, i) => ratio(mine, theirs[i] ?? Number.NaN));
  return `${median(ours).toFixed(digits)} | ${median(theirs).toFixed(digits)} | ${median(ratios).toFixed(2)}`;
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
