// What does guessing ahead gain, by method, on hadal-nano?
//
// One stream at a time, as a person who waits for an answer has it: problems of the kinds that the model was taught, in three
// groups, each answered greedily with every method in turn. A problem's gain is the ratio of its times between first and
// last token, so that slow moments of the machine meet all methods; medians over problems. Answers must be the same, or it stops.
//
//     node bench/speculation.ts [problems of each task] [checkpoint]

import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { type Engine, openEngine, plainRequest } from '@hadal/engine/engine';
import type { Speculation } from '@hadal/engine/speculation';
import { promptText } from '@hadal/formats/chat/dialect';
import { openCheckpoint } from '@hadal/formats/checkpoint';
import { openEmbeddedProvider } from '@hadal/server/embedded-provider';
import { taskNamed } from '@hadal/training/tasks/registry';

const groups: Readonly<Record<string, readonly string[]>> = {
  'code-like': ['extract-json', 'use-tools', 'repeat-text'],
  arithmetic: ['add-and-subtract', 'multiply', 'compare-decimals'],
  chat: ['introduce', 'word-problems', 'conversation'],
};
const methods: Readonly<Record<string, Speculation>> = {
  none: { method: 'none' },
  mtp: { method: 'mtp', draftTokens: 'adaptive' },
  'mtp, 1': { method: 'mtp', draftTokens: 1 },
  'mtp, 3': { method: 'mtp', draftTokens: 3 },
  ngram: { method: 'ngram', draftTokens: 'adaptive' },
};
const maxTokens = 400;

const [count = '12', path = join(import.meta.dirname, '../models/hadal-nano')] = process.argv.slice(2);
const checkpoint = await openCheckpoint(path);
await using engine = await openEngine({ checkpoint });
const { dialect, stopTokens } = await openEmbeddedProvider({ engine, checkpoint });

console.log(`${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores, ${new Date().toISOString()}`);
console.log(`${checkpoint.name} in ${engine.model.dtype}, ${count} problems of each task, greedy, one at a time\n`);
console.log('| prompts | method | tokens per second | gain | guesses that came true | tokens per step |');
console.log('|---|---|---|---|---|---|');
for (const [group, names] of Object.entries(groups)) {
  const runs = new Map(Object.keys(methods).map((name) => [name, [] as Run[]]));
  for (const [i, prompt] of promptsOf(names, Number(count)).entries()) {
    const order = Object.entries(methods);
    for (const [name, speculation] of i % 2 === 0 ? order : order.reverse()) {
      runs.get(name)?.push(await answer(engine, prompt, speculation));
    }
  }
  const plain = runs.get('none') as Run[];
  for (const [name, all] of runs) {
    const strange = all.findIndex(({ ids }, i) => ids !== plain[i]?.ids);
    if (strange >= 0) throw new Error(`${group}, problem ${strange}: expected ${name} to say the same as no guessing`);
    const sum = (of: (run: Run) => number) => all.reduce((total, run) => total + of(run), 0);
    const gain = median(all.map(({ ms }, i) => (plain[i] as Run).ms / ms));
    const guessed = sum(({ accepted, rejected }) => accepted + rejected);
    const share = guessed > 0 ? `${((100 * sum(({ accepted }) => accepted)) / guessed).toFixed(0)} %` : '';
    const perStep = sum(({ tokens }) => tokens) / sum(({ tokens, accepted }) => tokens - accepted);
    const rate = median(all.map(({ tokens, ms }) => (tokens - 1) / (ms / 1000)));
    console.log(`| ${group} | ${name} | ${rate.toFixed(0)} | ${gain.toFixed(2)} | ${share} | ${perStep.toFixed(2)} |`);
  }
}

interface Run {
  readonly ids: string;
  /** From the first token to the last. */
  readonly ms: number;
  readonly tokens: number;
  readonly accepted: number;
  readonly rejected: number;
}

function promptsOf(names: readonly string[], count: number): number[][] {
  return names.flatMap((name) => {
    const task = taskNamed(name);
    return Array.from({ length: count }, (_, index) => {
      const problem = task.generate('test', index);
      if (problem.kind !== 'chat') throw new Error(`${name}: expected problems that are conversations`);
      const { messages, thinking, tools } = problem;
      return engine.tokenizer.encode(promptText(dialect.prompt(messages, { thinking, tools })));
    });
  });
}

async function answer(engine: Engine, prompt: readonly number[], speculation: Speculation): Promise<Run> {
  const ids: number[] = [];
  let [first, last] = [0, 0];
  for await (const event of engine.generate({ ...plainRequest, prompt, maxTokens, stopTokens, speculation })) {
    if (event.type === 'token') {
      last = performance.now();
      if (ids.push(event.id) === 1) first = last;
    } else if (event.type === 'finish') {
      const { acceptedDraftTokens: accepted, rejectedDraftTokens: rejected } = event;
      return { ids: ids.join(), ms: performance.now() - first, tokens: event.completionTokens, accepted, rejected };
    }
  }
  throw new Error('expected the answer to finish');
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
