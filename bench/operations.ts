// Where does the time of a forward pass go?
//
// Runs every command of a step by itself and adds up, by operation and sizes, what each takes: a decode step after a short
// and a long context, and a step of a prompt. The sum is a little more than a whole step, which crosses into native code
// once.
//
//     node bench/operations.ts [qwen|lite] [int8|int4] [context]

import { availableParallelism } from 'node:os';
import type { Commands } from '@hadal/kernels/commands';
import { openDevice } from '@hadal/kernels/device';
import { batchTokens, openRandomModel } from './inference/random-model.ts';
import { type Format, shapes } from './inference/shapes.ts';

const repetitions = 5;

const [shape = 'qwen', format = 'int8', context = '2048', threads = String(availableParallelism())] =
  process.argv.slice(2);
if (!Object.hasOwn(shapes, shape)) throw new Error(`expected one of ${Object.keys(shapes).join(', ')}, got ${shape}`);
const device = openDevice({ threads: Number(threads) });
const contextTokens = Number(context);
const model = openRandomModel(device, shape as keyof typeof shapes, format as Format, contextTokens + 3 * batchTokens);
const sequence = model.sequence(contextTokens + 2 * batchTokens);

const profile = profiler(device.commands);
for (const [name, length, count] of [
  ['decode, 64 tokens of context', 64, 1],
  [`prefill of ${batchTokens}`, 0, batchTokens],
  [`decode, ${contextTokens} tokens of context`, contextTokens, 1],
  [`prefill of ${batchTokens} after ${contextTokens}`, contextTokens, batchTokens],
] as const) {
  model.read(sequence, length);
  sequence.length = length;
  const ids = Int32Array.from({ length: count }, (_, i) => (i * 7919) % 50_000);
  const whole = [];
  for (let i = 0; i < repetitions; i++) {
    const started = process.hrtime.bigint();
    model.step(sequence, ids);
    whole.push(Number(process.hrtime.bigint() - started) / 1e6);
    sequence.length = length;
  }
  profile.start();
  for (let i = 0; i < repetitions; i++) {
    model.step(sequence, ids);
    sequence.length = length;
  }
  console.log(`\n${shape}, ${format}, ${name}: ${whole.sort((a, b) => a - b)[repetitions >> 1]?.toFixed(2)} ms whole`);
  profile.report(repetitions);
}

interface Spent {
  count: number;
  ms: number;
}

/** Takes over `end` of the command buffer, so that a command runs as soon as it is recorded. */
function profiler(commands: Commands) {
  const spent = new Map<string, Spent>();
  let key = '';
  let isOn = false;
  const { begin, int, end } = commands;
  commands.begin = (op) => {
    key = op;
    begin.call(commands, op);
  };
  commands.int = (n) => {
    if (n > 1) key += ` ${n}`;
    int.call(commands, n);
  };
  commands.end = () => {
    end.call(commands);
    if (!isOn) return;
    const started = process.hrtime.bigint();
    commands.run();
    const ms = Number(process.hrtime.bigint() - started) / 1e6;
    const entry = spent.get(key) ?? { count: 0, ms: 0 };
    spent.set(key, { count: entry.count + 1, ms: entry.ms + ms });
  };
  return {
    start() {
      spent.clear();
      isOn = true;
    },
    report(steps: number) {
      isOn = false;
      const rows = [...spent].sort(([, a], [, b]) => b.ms - a.ms);
      const total = rows.reduce((sum, [, { ms }]) => sum + ms, 0);
      for (const [name, { count, ms }] of rows) {
        const share = `${((100 * ms) / total).toFixed(1)} %`;
        console.log(`${(ms / steps).toFixed(3).padStart(10)} ms ${share.padStart(7)}  ${count / steps} x ${name}`);
      }
      console.log(`${(total / steps).toFixed(3).padStart(10)} ms together`);
    },
  };
}
