// llama.cpp's side of the comparison, through node-llama-cpp's own binding.
//
// Owns a model and two contexts, a short one that is read again for every prefill and a deep one that keeps its context.
// Times llama_decode alone, without sampling and without node-llama-cpp's own scheduling. Runs only where node-llama-cpp
// is installed beside this file; its types are spelled out here, so that the repository checks without it.

import { existsSync } from 'node:fs';
import process from 'node:process';
import {
  type Answer,
  answerQuestions,
  type Question,
  sequenceTokens,
  streamPrompt,
} from '../../inference/contestant.ts';
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
  streams: (question) => loaded?.streams(question),
  arrival: (question) => loaded?.arrival(question),
  memory: () => ({ bytes: process.memoryUsage().rss }),
});

async function load({ shape, format, file, threads }: Question['load']) {
  const { gguf, vocabularySize } = shapes[shape];
  const { metadata, tensors } = gguf(format);
  if (!existsSync(file)) writeRandomGguf(file, metadata, tensors);
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

  const many = new Map<string, ReturnType<typeof openMany>>();
  const sequencesOf = async (kind: keyof typeof manyTokens, count: number) => {
    const key = `${kind} ${count}`;
    const known = many.get(key) ?? openMany(opened, count, manyTokens[kind], threads);
    many.set(key, known);
    const sequences = await known;
    sequences.clear();
    return sequences;
  };
  const idOf = (sequence: number, place: number) => (sequence * 104_729 + place * 7919) % vocabularySize;

  return {
    async streams({ count, tokens }: Question['streams']): Promise<Answer['streams']> {
      const sequences = await sequencesOf('streams', count);
      const all = (of: (sequence: number) => number[]) => Array.from({ length: count }, (_, i) => of(i));
      for (let i = 0; i < count; i++) {
        await sequences.step(all((j) => (i === j ? Array.from({ length: streamPrompt }, (_, at) => idOf(i, at)) : [])));
      }
      const { seconds } = await timed(async () => {
        for (let at = 0; at < tokens; at++) await sequences.step(all((i) => [idOf(i, at)]));
      });
      return { seconds, tokens: count * tokens };
    },
    async arrival({ streams, promptTokens, round }: Question['arrival']): Promise<Answer['arrival']> {
      const sequences = await sequencesOf('arrival', streams + 1);
      for (let i = 0; i < streams; i++) {
        await sequences.step(
          Array.from({ length: streams }, (_, j) =>
            i === j ? Array.from({ length: streamPrompt }, (_, at) => idOf(i, at)) : [],
          ),
        );
      }
      const gapSeconds: number[] = [];
      let read = 0;
      const whole = await timed(async () => {
        while (read < promptTokens) {
          const count = Math.min(batchTokens - streams, promptTokens - read);
          const prompt = Array.from({ length: count }, (_, at) => idOf(round + 1000, read + at));
          const speaking = Array.from({ length: streams }, (_, i) => [idOf(i, read)]);
          gapSeconds.push((await timed(() => sequences.step([...speaking, prompt]))).seconds);
          read += count;
        }
      });
      return { firstTokenSeconds: whole.seconds, gapSeconds };
    },
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

/** Room of each of many sequences: for streams, and beside a long prompt. */
const manyTokens = { streams: 256, arrival: 4096 + 256 };

/**
 * Many sequences in one context, as llama-server runs them: every batch has one token of each that speaks, and what room is
 * left is the next piece of the prompt that is being read.
 */
async function openMany(model: Model, count: number, contextSize: number, threads: number) {
  const { _ctx: context } = await model.createContext({
    ...{ contextSize, batchSize: batchTokens, sequences: count, flashAttention: true },
    threads: { ideal: threads, min: threads },
  });
  const lengths = new Array<number>(count).fill(0);
  /** One batch: `ids[i]` for sequence `i`, empty for those that do not take part. */
  const step = async (ids: readonly (readonly number[])[]) => {
    context.initBatch(ids.reduce((sum, { length }) => sum + length, 0));
    for (const [sequence, tokens] of ids.entries()) {
      if (tokens.length === 0) continue;
      context.addToBatch(sequence, lengths[sequence]!, Uint32Array.from(tokens), Uint32Array.of(tokens.length - 1));
      lengths[sequence]! += tokens.length;
    }
    await context.decodeBatch();
  };
  return {
    step,
    clear() {
      for (const [sequence, length] of lengths.entries()) {
        if (length > 0) context.removeTokenCellsFromSequence(sequence, 0, length);
        lengths[sequence] = 0;
      }
    },
  };
}

async function timed(work: () => Promise<void>): Promise<{ seconds: number }> {
  const started = process.hrtime.bigint();
  await work();
  return { seconds: Number(process.hrtime.bigint() - started) / 1e9 };
}
