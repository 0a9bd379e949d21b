// How long does a step of GRPO take, and how long with TRL?
//
// One step of hadal-nano as its job makes it: 32 prompts of countdown, groups of 8, answers of up to 256 tokens, one update. Hadal
// runs the job's own loop in this process, TRL's GRPOTrainer (peers/train_trl.py) in another, with the same weights, prompts, loss,
// optimizer and threads, in float32. They take turns, and medians count. Answers differ, as the draws do; so in one variant all of
// them have 256 tokens on both sides, and in the other they end where they end.
//
//     PYTHON=/path/to/python node bench/grpo.ts [TURNS] [PROMPTS]
//
// where that Python has torch, transformers 5, trl and datasets; then a part of results/training.md is written. Without, only
// Hadal is timed. A step of TRL's takes minutes.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promptText } from '@hadal/formats/chat/dialect';
import type { TrainingMethod } from '@hadal/protocol/training-order';
import { grpo } from '@hadal/training/grpo';
import { EpochOrder } from '@hadal/training/jobs/epoch-order';
import { readJobData } from '@hadal/training/jobs/job-data';
import { JobDirectory, type JobPosition } from '@hadal/training/jobs/job-directory';
import { baseLearningRate, JobRun } from '@hadal/training/jobs/job-run';
import type { Judge } from '@hadal/training/jobs/judge';
import type { TrainingPrompt } from '@hadal/training/jobs/prompts';
import { countdownProblem } from '@hadal/training/tasks/countdown';
import { metricsOf, taskJudge } from '@hadal/training/testing/toy-job';
import { circumstances, median, writeResults } from './results-section.ts';

type Ends = 'forced' | 'natural';

const parts = ['generation', 'scoring', 'update', 'total'] as const;
type Seconds = Readonly<Record<(typeof parts)[number], number>>;

/** Seconds of a step by part, of wall and of the processors of all threads; what was sampled. */
interface Turn {
  readonly wall: Seconds;
  readonly cpu: Seconds;
  readonly tokens: number;
  readonly reward: number;
}

const [turns = 3, batchSize = 32] = process.argv.slice(2).map(Number);
const model = resolve(import.meta.dirname, '..', 'models', 'hadal-nano');
const groupSize = 8;
const maxTokens = 256;
const threads = 2;
const width = 256;
const learningRate = 1e-6;

/** Reads both clocks where a part begins that has not begun yet; parts follow one another. */
class PartClock {
  readonly #marks = new Map<string, { readonly wall: number; readonly cpu: number }>();

  begin(part: 'generation' | 'scoring' | 'update' | 'end'): void {
    const { user, system } = process.cpuUsage();
    if (!this.#marks.has(part)) this.#marks.set(part, { wall: performance.now() / 1000, cpu: (user + system) / 1e6 });
  }

  end(): { readonly wall: Seconds; readonly cpu: Seconds } {
    this.begin('end');
    const of = (clock: 'wall' | 'cpu'): Seconds => {
      const between = (from: string, to: string) =>
        (this.#marks.get(to)?.[clock] ?? Number.NaN) - (this.#marks.get(from)?.[clock] ?? Number.NaN);
      return {
        ...{ generation: between('generation', 'scoring'), scoring: between('scoring', 'update') },
        ...{ update: between('update', 'end'), total: between('generation', 'end') },
      };
    };
    return { wall: of('wall'), cpu: of('cpu') };
  }
}

/** Hadal's job, a step at a time. */
class Hadal implements Disposable {
  readonly prompts: readonly TrainingPrompt[];
  readonly #directory: JobDirectory;
  readonly #job: JobRun;
  readonly #method: Extract<TrainingMethod, { type: 'reinforcement' }>;
  #at: JobPosition;

  constructor(path: string, ends: Ends) {
    const rows = Array.from({ length: turns * batchSize }, (_, index) => ({
      task: 'countdown',
      split: 'train',
      index,
    }));
    writeFileSync(join(path, 'train.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    writeFileSync(join(path, 'order.json'), JSON.stringify(order));
    this.#directory = new JobDirectory(path);
    this.#job = new JobRun(this.#directory, { saveSeconds: Infinity });
    const { order: parsed, renderer, contextLength } = this.#job;
    if (parsed.method.type !== 'reinforcement') throw new Error('expected an order for reinforcement');
    this.#method = parsed.method;
    const { data } = readJobData(parsed, renderer, contextLength, (name) => join(path, name));
    if (data.type !== 'prompts') throw new Error(`expected prompts, got ${data.type}`);
    this.prompts = data.prompts;
    if (ends === 'forced') {
      const { engine, dialect } = this.#job.candidate;
      Object.assign(this.#job, { candidate: { engine, dialect, stopTokens: [] } });
    }
    this.#at = this.#job.start();
  }

  /** What TRL needs to do the same, in the order in which the job asks. */
  get questions(): object[] {
    const { tokenizer, dialect } = this.#job.renderer;
    const places = new EpochOrder(this.prompts.length, `${this.#job.order.seed}/prompts`);
    return this.prompts.map((_, i) => {
      const index = places.at(i);
      const { messages, thinking, tools } = (this.prompts[index] as TrainingPrompt).question;
      const text = promptText(dialect.prompt(messages, { thinking, tools }));
      const { numbers, target } = countdownProblem('train', index);
      return { text, ids: tokenizer.encode(text), numbers, target };
    });
  }

  async step(): Promise<Turn> {
    const maxSteps = this.#at.step + 1;
    const method = { ...this.#method, grpo: { ...this.#method.grpo, maxSteps } };
    const clock = new PartClock();
    // The first answer is graded when all are there, and with the last one the update begins.
    const judge: Judge = async (item, sample) => {
      clock.begin('scoring');
      const run = await taskJudge(item, sample);
      if (++judged === batchSize * groupSize) clock.begin('update');
      return run;
    };
    let judged = 0;
    clock.begin('generation');
    this.#at = await grpo(this.#job, method, { prompts: this.prompts, heldOut: [], judge }, this.#at);
    const { wall, cpu } = clock.end();
    const measured = metricsOf(this.#directory.entries()).at(-1)?.data ?? {};
    return { wall, cpu, tokens: measured.num_tokens ?? Number.NaN, reward: measured.reward ?? Number.NaN };
  }

  [Symbol.dispose](): void {
    this.#job[Symbol.dispose]();
    this.#directory[Symbol.dispose]();
  }
}

/** All of a step is learned from, as TRL does unless told otherwise. */
const order = {
  ...{ id: 'ftjob-bench', model: { name: 'hadal-nano', directory: model }, suffix: 'bench', seed: 7, threads },
  ...{ trainingFile: 'train.jsonl', checkpointSteps: 1_000_000 },
  method: {
    ...{ type: 'reinforcement', batchSize, epochs: 1, grader: { type: 'task', name: 'right', task: 'countdown' } },
    learningRateMultiplier: learningRate / baseLearningRate(width),
    grpo: {
      ...{ groupSize, maxCompletionTokens: maxTokens, lossType: 'dapo', temperature: 1 },
      ...{ maskTruncated: false, dropEqualGroups: false },
    },
  },
};

/** Talks with peers/train_trl.py: a line lets it make a step. */
class Trl implements Disposable {
  versions = '';
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(python: string, directory: string) {
    this.#process = spawn(python, [join(import.meta.dirname, 'peers', 'train_trl.py'), directory], {
      stdio: ['pipe', 'pipe', 'inherit'],
      // Threads of PyTorch that spin while they wait cost it three quarters of its speed on a busy machine.
      env: {
        ...process.env,
        OMP_WAIT_POLICY: 'passive',
        GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1',
        HF_HUB_OFFLINE: '1',
      },
    });
    this.#process.on('error', (error) => console.error(`${python}: ${error.message}`));
    this.#process.stdin?.on('error', () => {});
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }

  async start(): Promise<void> {
    this.versions = ((await this.#read()) as { versions: string }).versions;
  }

  async step(): Promise<Turn> {
    this.#process.stdin?.write('\n');
    return (await this.#read()) as Turn;
  }

  [Symbol.dispose](): void {
    this.#process.stdin?.end();
  }

  async #read(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('peers/train_trl.py ended without an answer; does this Python have trl?');
    return JSON.parse(value);
  }
}

interface Race {
  readonly hadal: readonly Turn[];
  readonly trl: readonly Turn[];
  readonly versions: string;
}

async function race(ends: Ends, python: string | undefined): Promise<Race> {
  const path = mkdtempSync(join(tmpdir(), 'hadal-grpo-'));
  try {
    using hadal = new Hadal(path, ends);
    const exchange = join(path, 'trl');
    mkdirSync(exchange);
    const work = { model, prompts: hadal.questions, batchSize, groupSize, maxTokens, threads, learningRate, ends };
    writeFileSync(join(exchange, 'work.json'), JSON.stringify(work));
    using trl = python === undefined ? undefined : new Trl(python, exchange);
    await trl?.start();
    const made = { hadal: [] as Turn[], trl: [] as Turn[] };
    for (let turn = 0; turn < turns; turn++) {
      const takeHadal = async () => made.hadal.push(await hadal.step());
      if (turn % 2 === 0) await takeHadal();
      if (trl) made.trl.push(await trl.step());
      if (turn % 2 === 1) await takeHadal();
      console.log(`${ends}, turn ${turn}: Hadal ${tell(made.hadal.at(-1))}; TRL ${tell(made.trl.at(-1))}`);
    }
    return { ...made, versions: trl?.versions ?? '' };
  } finally {
    rmSync(path, { recursive: true });
  }
}

function tell(turn: Turn | undefined): string {
  if (!turn) return '-';
  const seconds = parts.map((part) => `${part} ${turn.wall[part].toFixed(1)} (${turn.cpu[part].toFixed(1)})`);
  return `${seconds.join(', ')}, ${turn.tokens} tokens, reward ${turn.reward.toFixed(3)}`;
}

function table(races: Readonly<Record<Ends, Race>>): string {
  const lines = (['forced', 'natural'] as const).flatMap((ends) => {
    const { hadal, trl } = races[ends];
    const row = (name: string, of: (turn: Turn) => number, digits: number, kind: 'cost' | 'rate' | 'count') => {
      const ratios = hadal.map((mine, i) => {
        const theirs = trl[i] ? of(trl[i]) : Number.NaN;
        return kind === 'rate' ? of(mine) / theirs : theirs / of(mine);
      });
      const cells = [median(hadal.map(of)).toFixed(digits), median(trl.map(of)).toFixed(digits)];
      return `| ${name} | ${cells.join(' | ')} | ${kind === 'count' ? '' : median(ratios).toFixed(1)} |`;
    };
    const seconds = (clock: 'wall' | 'cpu', unit: string) =>
      parts.map((part) =>
        row(
          `${part}, ${unit}`,
          (turn) => turn[clock][part],
          part === 'scoring' ? 3 : 1,
          part === 'scoring' ? 'count' : 'cost',
        ),
      );
    return [
      `| **${ends === 'forced' ? 'all answers of 256 tokens' : 'answers that end by themselves'}** | | | |`,
      row('tokens sampled', (turn) => turn.tokens, 0, 'count'),
      row('mean reward', (turn) => turn.reward, 2, 'count'),
      ...seconds('wall', 's'),
      ...seconds('cpu', 'processor s'),
      row('tokens per second of the step', (turn) => turn.tokens / turn.wall.total, 0, 'rate'),
      row('tokens per processor second', (turn) => turn.tokens / turn.cpu.total, 0, 'rate'),
    ];
  });
  return ['| | Hadal | TRL | ratio |', '|---|---|---|---|', ...lines].join('\n');
}

const python = process.env.PYTHON;
const races = { forced: await race('forced', python), natural: await race('natural', python) };
const text = table(races);
console.log(`\n${text}\n`);
if (python !== undefined) {
  writeResults(
    'training.md',
    'A step of GRPO: Hadal and TRL',
    `${circumstances()}; ${races.forced.versions}. hadal-nano, ${batchSize} prompts of countdown, groups of ${groupSize}, up to ${maxTokens} tokens, ${threads} threads
each, float32, loss dapo, beta 0, one update. Medians of ${turns} turns, ratios of turns. Aim: a step 5 times faster. \`PYTHON=... node bench/grpo.ts\` repeats it.

${text}`,
  );
} else {
  console.log('For TRL beside it: PYTHON=/path/to/a/python/with/trl node bench/grpo.ts');
}
