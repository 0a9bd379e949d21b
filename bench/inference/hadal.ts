// Hadal's side of the comparison.
//
// Owns a random model and two sequences, a short one that is read again for every prefill and a deep one that keeps its
// context, and the yardsticks: what the machine can read and multiply.

import process from 'node:process';

import { openDevice } from '@hadal/kernels/device';
import { fill } from '@hadal/kernels/elementwise';
import { measureArithmetic, measureIntegers, measureReading } from '@hadal/kernels/machine';
import { type Answer, answerQuestions, type Question, sequenceTokens } from './contestant.ts';
import { openRandomModel, type RandomSequence } from './random-model.ts';

/** Larger than any cache, so that it is memory that is read. */
const yardstickBytes = 2 ** 30;
const yardstickMs = 50;

type Loaded = ReturnType<typeof load>;
let loaded: Loaded | undefined;

answerQuestions({
  load(question) {
    loaded = load(question);
    return loaded.counts;
  },
  prefill: (question) => loaded?.prefill(question),
  decode: (question) => loaded?.decode(question),
  memory: () => ({ bytes: process.memoryUsage().rss - yardstickBytes }),
  yardsticks: () => loaded?.yardsticks(),
});

function load({ shape, format, threads }: Question['load']) {
  const device = openDevice({ threads });
  const { short, deep } = sequenceTokens;
  const model = openRandomModel(device, shape, format, short + deep);
  const sequences = { short: model.sequence(short), deep: model.sequence(deep) };
  const yardstick = device.memory.allocate(yardstickBytes);
  // Untouched pages would all be the same page of zeros.
  fill(device.commands, { handle: yardstick, offset: 0, length: yardstickBytes / 4 }, 1);
  device.commands.run();

  const cut = (sequence: RandomSequence, tokens: number) => {
    sequence.length = Math.min(sequence.length, tokens);
    return sequence;
  };
  return {
    counts: { ...model, version: '' },
    prefill({ tokens }: Question['prefill']): Answer['prefill'] {
      const sequence = cut(sequences.short, 0);
      return timed(() => model.read(sequence, tokens));
    },
    decode({ context, tokens }: Question['decode']): Answer['decode'] {
      const sequence = cut(sequences[context + tokens > short ? 'deep' : 'short'], context);
      let next = model.read(sequence, context);
      return timed(() => {
        for (let i = 0; i < tokens; i++) next = model.step(sequence, Int32Array.of(next));
      });
    },
    yardsticks: (): Answer['yardsticks'] => ({
      reading: measureReading(device, { handle: yardstick, bytes: yardstickBytes }),
      floats: measureArithmetic(device, yardstickMs),
      integers: measureIntegers(device, yardstickMs),
    }),
  };
}

function timed(work: () => unknown): { seconds: number } {
  const started = process.hrtime.bigint();
  work();
  return { seconds: Number(process.hrtime.bigint() - started) / 1e9 };
}
