// How fast does Hadal infer, and how fast llama.cpp, on models of the same shape?
//
// Both run random weights of the same sizes on the same threads, each in a process of its own with its model loaded, and
// take turns, so that whatever else the machine does meets both; medians count, and a ratio is the median of the turns'
// ratios. Hadal is timed with the choice of the next token, llama.cpp without. What the machine can read and multiply is
// measured in every round, and Hadal's rates are also given as shares of it.
//
//     node bench/inference.ts [qwen-int8] [qwen-int4] [lite-int4]
//
// llama.cpp runs where node-llama-cpp is installed beside peers/llama-cpp (the bench says how); without, only Hadal is
// timed. With it, results/inference-MODEL.md are written.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { type Answer, Contestant, type Counts } from './inference/contestant.ts';
import { type Format, shapes } from './inference/shapes.ts';

interface Match {
  readonly shape: keyof typeof shapes;
  readonly format: Format;
  /** llama.cpp's counterpart of the format. */
  readonly peerFormat: string;
  readonly deep: Deep;
}

const matches: Readonly<Record<string, Match>> = {
  'qwen-int8': { shape: 'qwen', format: 'int8', peerFormat: 'Q8_0', deep: 8192 },
  'qwen-int4': { shape: 'qwen', format: 'int4', peerFormat: 'Q4_0', deep: 8192 },
  // Attention to a latent of 576 numbers a head would take both engines minutes to get to 8192.
  'lite-int4': { shape: 'lite', format: 'int4', peerFormat: 'Q4_0', deep: 2048 },
};

/** Tokens after which decoding is timed again. */
type Deep = 2048 | 8192;

/** What is timed: seconds become tokens a second. */
function measuresOf(deep: Deep) {
  return [
    { name: 'decode, 64 tokens of context', kind: 'decode', context: 64, tokens: 32 },
    { name: 'prefill of 512', kind: 'prefill', tokens: 512 },
    { name: 'prefill of 2048', kind: 'prefill', tokens: 2048 },
    { name: `decode, ${deep} tokens of context`, kind: 'decode', context: deep, tokens: 24 },
  ] as const;
}

const rounds = 5;
const threads = availableParallelism();
/** For threads of the engine whose turn it was to fall asleep. */
const restMs = 100;
const peers = join(import.meta.dirname, 'peers', 'llama-cpp');
const hasPeer = existsSync(join(peers, 'node_modules', 'node-llama-cpp'));

interface Round {
  /** Seconds of each measure, of Hadal and of llama.cpp. */
  readonly hadal: readonly number[];
  readonly peer: readonly number[];
  readonly yardsticks: Answer['yardsticks'];
}

const named = process.argv.slice(2);
const unknown = named.find((name) => !Object.hasOwn(matches, name));
if (unknown !== undefined) throw new Error(`${unknown}: expected some of ${Object.keys(matches).join(', ')}`);
if (!hasPeer) console.log(`llama.cpp is not installed, only Hadal is timed. To install it:\n  ${installCommand()}\n`);
for (const name of named.length > 0 ? named : Object.keys(matches)) await compare(name, matches[name] as Match);

async function compare(name: string, match: Match): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-inference-'));
  const measures = measuresOf(match.deep);
  const hadal = new Contestant('Hadal', join(import.meta.dirname, 'inference', 'hadal.ts'));
  const peer = hasPeer ? new Contestant('llama.cpp', join(peers, 'engine.ts')) : undefined;
  try {
    const load = { ...match, file: join(directory, 'weights.gguf'), threads };
    const counts = { hadal: await hadal.ask('load', load), peer: await peer?.ask('load', load) };
    const turns: Round[] = [];
    // The first round also fills caches and contexts; it does not count.
    for (let round = 0; round <= rounds; round++) {
      const turn = await takeTurns(hadal, peer, round, match.deep);
      const rates = (seconds: readonly number[]) =>
        measures.map(({ tokens }, i) => fixed(tokens / (seconds[i] ?? Number.NaN)));
      console.log(`${name}, round ${round}: ${rates(turn.hadal).join(' ')}; llama.cpp ${rates(turn.peer).join(' ')}`);
      if (round > 0) turns.push(turn);
    }
    const memory = { hadal: await hadal.ask('memory', {}), peer: await peer?.ask('memory', {}) };
    const text = report(match, turns, counts, memory);
    console.log(text);
    if (peer === undefined) return;
    const results = join(import.meta.dirname, 'results');
    mkdirSync(results, { recursive: true });
    writeFileSync(join(results, `inference-${name}.md`), text);
  } finally {
    await hadal.close();
    await peer?.close();
    rmSync(directory, { recursive: true });
  }
}

async function takeTurns(hadal: Contestant, peer: Contestant | undefined, round: number, deep: Deep): Promise<Round> {
  const seconds = { hadal: [] as number[], peer: [] as number[] };
  const yardsticks = await hadal.ask('yardsticks', {});
  for (const { kind, ...question } of measuresOf(deep)) {
    const turns = [
      async () => seconds.hadal.push((await hadal.ask(kind, question as never)).seconds),
      async () => peer && seconds.peer.push((await peer.ask(kind, question as never)).seconds),
    ];
    for (const turn of round % 2 === 0 ? turns : turns.reverse()) {
      await turn();
      await setTimeout(restMs);
    }
  }
  return { ...seconds, yardsticks };
}

function report(
  { shape, format, peerFormat, deep: deepContext }: Match,
  turns: readonly Round[],
  counts: { readonly hadal: Counts; readonly peer: Counts | undefined },
  memory: { readonly hadal: Answer['memory']; readonly peer: Answer['memory'] | undefined },
): string {
  const measures = measuresOf(deepContext);
  const of = (pick: (round: Round) => number) => median(turns.map(pick));
  const yardstick = (kind: keyof Answer['yardsticks']) => of(({ yardsticks }) => yardsticks[kind]);
  const rows = measures.map(({ name, tokens }, i) => {
    const rate = (of: (round: Round) => readonly number[]) =>
      median(turns.map((round) => tokens / (of(round)[i] ?? NaN)));
    const ratio = of(({ hadal, peer }) => (peer[i] ?? Number.NaN) / (hadal[i] as number));
    return `| ${name} | ${fixed(rate((r) => r.hadal))} | ${fixed(rate((r) => r.peer))} | ${ratio.toFixed(2)} |`;
  });
  const perToken = (i: number, whose: 'hadal' | 'peer') =>
    of((round) => (round[whose][i] ?? Number.NaN) / (measures[i]?.tokens ?? 1));
  const { weightBytesRead = Number.NaN, multiplyAdds = Number.NaN } = counts.hadal;
  const [short, deep] = [0, 3];
  const lost = (whose: 'hadal' | 'peer') => 100 * (1 - perToken(short, whose) / perToken(deep, whose));
  const bytesRead = weightBytesRead / perToken(short, 'hadal');
  const operations = (i: number) => (multiplyAdds * 2) / perToken(i, 'hadal');
  const share = (part: number, whole: number) => `${((100 * part) / whole).toFixed(0)} %`;
  const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${threads} threads`;
  const mebi = (bytes: number | undefined) => ((bytes ?? Number.NaN) / 2 ** 20).toFixed(0);
  return [
    `# Inference: ${shapes[shape].name}, ${format} and ${peerFormat}`,
    '',
    `${new Date().toISOString().slice(0, 10)}, ${machine}. Random weights; medians of ${turns.length} turns.`,
    '',
    '| tokens per second | Hadal | llama.cpp | ratio |',
    '|---|---|---|---|',
    ...rows,
    `| decode's loss after ${deepContext} tokens | ${lost('hadal').toFixed(0)} % | ${lost('peer').toFixed(0)} % | |`,
    '',
    `Measured in the same rounds: reading ${giga(yardstick('reading'))} GB/s, products of bytes ${giga(yardstick('integers'))}`,
    `GOP/s, of floats ${giga(yardstick('floats'))} GFLOP/s. A token of Hadal's reads ${mebi(weightBytesRead)} MiB of weights: decode reads`,
    `${giga(bytesRead)} GB/s, ${share(bytesRead, yardstick('reading'))} of that. Prefill's products of quantized weights come to ${giga(operations(1))} (512) and`,
    `${giga(operations(2))} GOP/s (2048), ${share(operations(1), yardstick('integers'))} and ${share(operations(2), yardstick('integers'))} of the peak.`,
    '',
    '| MiB | weights | cache | process |',
    '|---|---|---|---|',
    `| Hadal | ${mebi(counts.hadal.weightBytes)} | ${mebi(counts.hadal.cacheBytes)} | ${mebi(memory.hadal.bytes)} |`,
    `| llama.cpp | ${mebi(counts.peer?.weightBytes)} | ${mebi(counts.peer?.cacheBytes)} | ${mebi(memory.peer?.bytes)} |`,
    '',
    ...(counts.peer ? [`llama.cpp, as node-llama-cpp packages it: ${counts.peer.version}`, ''] : []),
  ].join('\n');
}

/** Without the binaries for graphics cards, which are half a gigabyte. */
function installCommand(): string {
  const platform = process.platform === 'darwin' ? 'mac' : process.platform === 'win32' ? 'win' : 'linux';
  const binary = `@node-llama-cpp/${platform}-${process.arch}${platform === 'mac' && process.arch === 'arm64' ? '-metal' : ''}`;
  const version = '3.22.1';
  return `npm install --prefix ${peers} --no-save --omit=optional --ignore-scripts node-llama-cpp@${version} ${binary}@${version}`;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

function fixed(rate: number): string {
  return rate.toFixed(rate < 100 ? 1 : 0);
}

function giga(rate: number): string {
  return (rate / 1e9).toFixed(1);
}
