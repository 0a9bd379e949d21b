// Hadal's side of the serving comparison: the engine as its server uses it.
//
// Owns an engine on the very file that llama.cpp reads, and asks it for streams through its public face: thread, queue,
// sampling and text included. Prefixes go to disk where a directory is named.

import process from 'node:process';
import { type Engine, type GenerateRequest, openEngine, plainRequest } from '@hadal/engine/engine';
import { openCheckpoint } from '@hadal/formats/checkpoint';
import { type Answer, answerQuestions, type Question, streamPrompt } from '../inference/contestant.ts';

/** Room for the longest prompt that the bench asks for, and its answer. */
const contextLength = 8192 + 256;
const prefixBytes = 8e9;

let loaded: Engine | undefined;

answerQuestions({
  async load({ file, threads, prefixes }) {
    const checkpoint = await openCheckpoint(file);
    const directory = prefixes === undefined ? undefined : { directory: prefixes, maxBytes: prefixBytes };
    loaded = await openEngine({ checkpoint, threads, contextLength, prefixes: directory });
    return { version: '', weightBytes: 0, cacheBytes: 0 };
  },
  streams: (question) => loaded && streams(loaded, question),
  arrival: (question) => loaded && arrival(loaded, question),
  prompt: (question) => loaded && prompt(loaded, question),
  memory: () => ({ bytes: process.memoryUsage().rss }),
  async close() {
    await loaded?.[Symbol.asyncDispose]();
    return {};
  },
});

async function streams(engine: Engine, { count, tokens }: Question['streams']): Promise<Answer['streams']> {
  const leave = new AbortController();
  let speaking = 0;
  let [begin, end] = [Number.NaN, Number.NaN];
  let meanwhile = 0;
  await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      let isFirst = true;
      const request = requestOf(engine, i, streamPrompt, contextLength - streamPrompt);
      for await (const event of engine.generate(request, leave.signal)) {
        if (event.type !== 'token' || leave.signal.aborted) continue;
        if (isFirst) {
          isFirst = false;
          // From when all of them speak.
          if (++speaking === count) begin = performance.now();
        } else if (speaking === count && ++meanwhile === count * tokens) {
          end = performance.now();
          leave.abort();
        }
      }
    }),
  );
  return { seconds: (end - begin) / 1000, tokens: meanwhile };
}

async function arrival(engine: Engine, question: Question['arrival']): Promise<Answer['arrival']> {
  const leave = new AbortController();
  const times = Array.from({ length: question.streams }, (): number[] => []);
  const speaking = times.map(async (mine, i) => {
    const request = requestOf(engine, i, streamPrompt, contextLength - streamPrompt);
    for await (const event of engine.generate(request, leave.signal)) {
      if (event.type === 'token') mine.push(performance.now());
    }
  });
  while (times.some(({ length }) => length < 4)) await new Promise((resolve) => setTimeout(resolve, 5));
  const begin = performance.now();
  let end = Number.NaN;
  const request = requestOf(engine, question.round + 1000, question.promptTokens, 1);
  for await (const event of engine.generate(request)) if (event.type === 'token') end = performance.now();
  leave.abort();
  await Promise.all(speaking);
  const gapSeconds = times.flatMap((mine) =>
    mine.flatMap((time, i) => {
      const before = mine[i - 1];
      return before !== undefined && time > begin && before < end ? (time - before) / 1000 : [];
    }),
  );
  return { firstTokenSeconds: (end - begin) / 1000, gapSeconds };
}

async function prompt(engine: Engine, { tokens, round }: Question['prompt']): Promise<Answer['prompt']> {
  const begin = performance.now();
  let firstTokenSeconds = Number.NaN;
  let hitTokens = 0;
  for await (const event of engine.generate(requestOf(engine, round + 2000, tokens, 1))) {
    if (event.type === 'token') firstTokenSeconds = (performance.now() - begin) / 1000;
    if (event.type === 'finish') hitTokens = event.cacheHitTokens;
  }
  return { firstTokenSeconds, hitTokens };
}

/** Prompt number `which`: they share no prefix. */
function requestOf({ model }: Engine, which: number, promptTokens: number, maxTokens: number): GenerateRequest {
  const prompt = Array.from({ length: promptTokens }, (_, at) => (which * 104_729 + at * 7919) % model.vocabularySize);
  return { ...plainRequest, prompt, maxTokens };
}
