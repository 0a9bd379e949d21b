// `hadal eval`: how often a model solves problems it has never seen.
//
// Owns which problems are asked for and the table of results. How a problem is asked and judged is the training package's.

import type { Evaluation, EvaluationOptions, Outcome } from '@hadal/training/evaluate';
import type { Split } from '@hadal/training/tasks/task';
import { Command, Option } from 'commander';
import { exitCodes, UsageError } from '../failure.ts';
import type { LocalModel } from '../local-model.ts';
import { addModelOptions, localModelOptions, type ModelOptions } from '../model-options.ts';
import { integerFrom, numberFrom } from '../option-parsers.ts';
import { printable, type Terminal } from '../terminal.ts';

interface EvalOptions extends ModelOptions {
  readonly task?: readonly string[];
  readonly count: number;
  readonly seed: number;
  readonly split: Split;
  readonly thinking: EvaluationOptions['thinking'];
  readonly difficulty?: number;
  readonly temperature: number;
  readonly show: number;
  readonly json?: true;
}

/** Problems of two seeds never overlap while an evaluation asks for fewer than this. */
const problemsPerSeed = 1_000_000;

export function evalCommand(terminal: Terminal): Command {
  return addModelOptions(new Command('eval'), 'the checkpoint to evaluate')
    .description('Measure how often a model solves unseen problems')
    .option('--task <name...>', 'only these tasks; all that hadal-nano is trained on where not given')
    .option('-n, --count <number>', 'problems of each task', integerFrom(1, problemsPerSeed), 100)
    .option('--seed <number>', 'another seed, other problems', integerFrom(0, 1_000_000), 0)
    .addOption(new Option('--split <name>', 'whose problems').choices(['train', 'validation', 'test']).default('test'))
    .addOption(
      new Option('--thinking <mode>', 'only problems asked with reasoning, or only without')
        .choices(['on', 'off', 'mixed'])
        .default('mixed'),
    )
    .option(
      '--difficulty <number>',
      'for tasks that have one, such as how many numbers countdown gives',
      integerFrom(1),
    )
    .option('--temperature <number>', 'above 0 answers are drawn, 0 is greedy', numberFrom(0, 2), 0)
    .option('--show <number>', 'failures of each task to print', integerFrom(0), 0)
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
The same model, task, count, seed and temperature give the same numbers.

Examples:
  hadal eval
  hadal eval --task compare-decimals count-letters --count 500
  hadal eval --task countdown --difficulty 3 --thinking on --show 5
  hadal eval --model models/r1-base --task countdown --temperature 1
  hadal eval --dtype int4
  hadal eval --model runs/hadal-nano/model --split validation --json > accuracy.json`,
    )
    .action((options: EvalOptions) => runEvaluation(options, terminal));
}

async function runEvaluation(options: EvalOptions, terminal: Terminal): Promise<void> {
  const { openLocalModel } = await import('../local-model.ts');
  const { evaluate } = await import('@hadal/training/evaluate');
  const { askableTasks: known, tasks: usual } = await import('@hadal/training/tasks/registry');
  const unknown = options.task?.find((name) => !known.some((task) => task.name === name));
  if (unknown !== undefined) {
    throw new UsageError(`${unknown}: expected one of the tasks ${known.map(({ name }) => name).join(', ')}`);
  }
  const tasks = options.task ? known.filter(({ name }) => options.task?.includes(name)) : usual;
  await using model = await openLocalModel(localModelOptions(options), terminal);
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());

  const results: Evaluation[] = [];
  const width = Math.max(...tasks.map(({ name }) => name.length));
  for (const task of tasks) {
    const counter = answerCounter(`${task.name.padEnd(width)}  `, options, terminal);
    const result = await evaluate({ engine: model.engine, ...model.provider }, task, {
      split: options.split,
      first: options.seed * problemsPerSeed,
      count: options.count,
      ...{ thinking: options.thinking, temperature: options.temperature },
      signal: controller.signal,
      onProblem: counter.count,
      ...(options.difficulty !== undefined && { task: { difficulty: options.difficulty } }),
    });
    counter.clear();
    if (controller.signal.aborted) {
      process.exitCode = exitCodes.interrupted;
      return;
    }
    results.push(result);
    if (!options.json) terminal.out(`${resultLine(result, width)}\n${shownFailures(result, options.show)}`);
  }
  if (options.json) terminal.out(`${JSON.stringify(jsonReport(model, options, results))}\n`);
}

/** How far a long evaluation is, on a line of standard error that goes away again. */
function answerCounter(label: string, { count, json }: EvalOptions, terminal: Terminal) {
  let asked = 0;
  let correct = 0;
  const isShown = terminal.isInteractive && !json;
  return {
    count({ isCorrect }: Outcome) {
      asked += 1;
      if (isCorrect) correct += 1;
      if (isShown) terminal.err(`\r${label}${correct} of ${asked} (${count - asked} left) `);
    },
    clear() {
      if (isShown) terminal.err('\r\u001b[K');
    },
  };
}

function resultLine({ task, correct, count, meanTokens, ...means }: Evaluation, width: number): string {
  if (count === 0) return `${task.padEnd(width)}  no such problems`;
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  // What is as it should be needs no words.
  const form = means.meanFormat < 1 ? `, form ${percent(means.meanFormat)}` : '';
  const language = means.meanLanguage < 1 ? `, language ${percent(means.meanLanguage)}` : '';
  const share = percent(correct / count).padStart(7);
  return `${task.padEnd(width)}  ${share}  ${correct} of ${count}, ${meanTokens.toFixed(0)} tokens each${form}${language}`;
}

function shownFailures({ failures }: Evaluation, limit: number): string {
  return failures
    .slice(0, limit)
    .map(({ problem, answer, reason }) => {
      const question = problem.kind === 'fim' ? `${problem.prefix}[...]${problem.suffix}` : lastQuestion(problem);
      return [`asked: ${question}`, `said:  ${answer.content}`, `but:   ${reason}`]
        .map((line) => `    ${clipped(printable(line)).replaceAll('\n', '\n           ')}\n`)
        .join('');
    })
    .join('\n');
}

function lastQuestion({ messages }: Extract<Outcome['problem'], { kind: 'chat' }>): string {
  return messages.findLast(({ role }) => role === 'user')?.content ?? '';
}

/** A model that fails often does so at length. */
function clipped(text: string, length = 300): string {
  return text.length <= length ? text : `${text.slice(0, length)}...`;
}

function jsonReport({ model, engine }: LocalModel, options: EvalOptions, results: readonly Evaluation[]): object {
  const { split, seed, thinking, difficulty, temperature, show } = options;
  return {
    ...{ model, dtype: engine.model.dtype, split, seed, thinking, difficulty, temperature },
    tasks: results.map(({ task, count, correct, meanTokens, meanFormat, meanLanguage, failures }) => ({
      ...{ task, count, correct, accuracy: correct / Math.max(1, count), mean_tokens: meanTokens },
      ...{ format: meanFormat, language: meanLanguage },
      failures: failures.slice(0, show).map(({ problem, answer, reason }) => ({ key: problem.key, answer, reason })),
    })),
  };
}
