// llama.cpp's side of the comparison, through node-llama-cpp's own binding.
//
// Owns a model and two contexts, a short one that is read again for every prefill and a deep one that keeps its context.
// Times llama_decode alone, without sampling and without node-llama-cpp's own scheduling. Runs only where node-llama-cpp
// is installed beside this file; its types are spelled out here, so that the repository checks without it.

import process from 'node:process';
import { type Answer, answerQuestions, type Question, sequenceTokens } from '../../inference/contestant.ts';
import { shapes } from '../../inference/shapes.ts';
import { writeRandomGguf } from './gguf.ts';

/** The part of node-llama-cpp that is used; `_ctx` is its AddonContext, one method for each call of llama.h. */
interface Library {
  getLlama(options: object): Promise<{ loadModel(options: object): Promise<Model>; readonly systemInfo: string }>;
}
interface Model {
  readonly size: number;
  createContext(options: object): Promise<{ readonly _ctx: Context; readonly stateSize: number }>;
}
interface Context {
  initBatch(size: number): void;
  addToBatch(sequence: number, position: number, tokens: Uint32Array, logitIndexes: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  removeTokenCellsFromSequence(sequence: number, begin: number, end: number): boolean;
}

/** Tokens in one pass over a prompt: llama.cpp's default. */
const batchTokens = 512;

interface Sequence {
  readonly context: Context;
  length: number;
}

let loaded: Awaited<ReturnType<typeof load>> | undefined;

answerQuestions({
  async load(question) {
    loaded = await load(question);
    return loaded.counts;
  },
  prefill: (question) => loaded?.prefill(question),
  decode: (question) => loaded?.decode(question),
  memory: () => ({ bytes: process.memoryUsage().rss }),
});

async function load({ shape, format, file, threads }: Question['load']) {
  const { gguf, vocabularySize } = shapes[shape];
  const { metadata, tensors } = gguf(format);
  writeRandomGguf(file, metadata, tensors);
  const library = 'node-llama-cpp';
  const { getLlama } = (await import(library)) as Library;
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    logLevel: 'error',
  });
  const opened = await llama.loadModel({ modelPath: file, gpuLayers: 0, useMmap: true });
  const contexts = await Promise.all(
    [sequenceTokens.short, sequenceTokens.deep].map((contextSize) =>
      opened.createContext({
        ...{ contextSize, batchSize: batchTokens, sequences: 1, flashAttention: true },
        threads: { ideal: threads, min: threads },
      }),
    ),
  );
  const [short, deep] = contexts.map(({ _ctx }): Sequence => ({ context: _ctx, length: 0 })) as [Sequence, Sequence];

  const step = async (sequence: Sequence, ids: Uint32Array) => {
    const { context, length } = sequence;
    context.initBatch(ids.length);
    context.addToBatch(0, length, ids, Uint32Array.of(ids.length - 1));
    await context.decodeBatch();
    sequence.length += ids.length;
  };
  const read = async (sequence: Sequence, tokens: number) => {
    while (sequence.length < tokens) {
      const begin = sequence.length;
      const count = Math.min(batchTokens, tokens - begin);
      await step(
        sequence,
        Uint32Array.from({ length: count }, (_, i) => ((begin + i) * 7919) % vocabularySize),
      );
    }
  };
  const cut = (sequence: Sequence, tokens: number): Sequence => {
    if (sequence.length > tokens) sequence.context.removeTokenCellsFromSequence(0, tokens, sequence.length);
    sequence.length = Math.min(sequence.length, tokens);
    return sequence;
  };

  return {
    counts: {
      version: llama.systemInfo,
      weightBytes: opened.size,
      cacheBytes: contexts.reduce((sum, { stateSize }) => sum + stateSize, 0),
    },
    async prefill({ tokens }: Question['prefill']): Promise<Answer['prefill']> {
      cut(short, 0);
      return timed(() => read(short, tokens));
    },
    async decode({ context, tokens }: Question['decode']): Promise<Answer['decode']> {
      const sequence = cut(context + tokens > sequenceTokens.short ? deep : short, context);
      await read(sequence, context);
      return timed(async () => {
        for (let i = 0; i < tokens; i++) await step(sequence, Uint32Array.of((i * 7919) % vocabularySize));
      });
    },
  };
}

async function timed(work: () => Promise<void>): Promise<{ seconds: number }> {
  const started = process.hrtime.bigint();
  await work();
  return { seconds: Number(process.hrtime.bigint() - started) / 1e9 };
}
