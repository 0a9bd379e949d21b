// `hadal jobs`: the fine-tuning jobs of a server.
//
// Owns how jobs, what they tell, their curves and their rollouts are shown in a terminal, and how they are paused, resumed and
// cancelled from one; how they are made is `jobs-create`'s, how their models are fetched `jobs-download`'s. Speaks with the server
// over its API, like everybody.

import process from 'node:process';
import { Command, Option } from 'commander';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { curveText } from '../curve-text.ts';
import { exitCodes } from '../failure.ts';
import { integerFrom, serverUrl } from '../option-parsers.ts';
import { secondsInWords } from '../quantities.ts';
import { callServer, type Remote, serverJson } from '../remote-model.ts';
import { tableText } from '../table.ts';
import { printable, type Terminal } from '../terminal.ts';
import { type CreateOptions, createJob, methodFrom } from './jobs-create.ts';
import { downloadModel } from './jobs-download.ts';
import { defaultPort } from './serve.ts';

interface JobsOptions {
  readonly url: URL;
  readonly apiKey?: string;
  readonly limit: number;
  readonly step?: number;
  readonly follow?: true;
  readonly json?: true;
  readonly to?: string;
}

interface WireJob {
  readonly id: string;
  readonly model: string;
  readonly status: string;
  readonly paused: boolean;
  readonly created_at: number;
  readonly finished_at: number | null;
  readonly estimated_finish: number | null;
  readonly fine_tuned_model: string | null;
  readonly error: { readonly message: string } | null;
  readonly method: { readonly type: string };
  readonly step?: number;
  readonly total_steps?: number;
}

interface WireEvent {
  readonly id: string;
  readonly created_at: number;
  readonly level: string;
  readonly message: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface WireCheckpoint {
  readonly step_number: number;
  readonly fine_tuned_model_checkpoint: string;
  readonly metrics: Readonly<Record<string, number>>;
}

interface WireRollout {
  readonly prompt: number;
  readonly messages: readonly { readonly role: string; readonly content?: string }[];
  readonly answer: {
    readonly reasoning_content: string;
    readonly content: string;
    readonly tool_calls: readonly object[];
  };
  readonly reward: number;
  readonly sub_rewards: Readonly<Record<string, number>>;
  readonly completion_tokens: number;
  readonly is_truncated: boolean;
}

interface Page<T> {
  readonly data: readonly T[];
  readonly has_more: boolean;
  readonly last_id: string | null;
}

const curveWidth = 60;
const curveHeight = 6;
/** The measures that have a curve, in the order in which they are looked for. */
const curves = ['reward', 'loss', 'train_loss', 'valid_loss', 'completions/mean_length'];

export function jobsCommand(terminal: Terminal): Command {
  const jobs = new Command('jobs')
    .description('Training jobs of a server: make, follow, pause and cancel them')
    .addHelpText(
      'after',
      `
Any client of OpenAI's can do the same (POST /v1/fine_tuning/jobs).

Examples:
  hadal jobs create rows.jsonl --model hadal-nano --estimate
  hadal jobs create prompts.jsonl --method grpo.json --validation held-out.jsonl --follow
  hadal jobs list
  hadal jobs show ftjob-1f0c9a2b
  hadal jobs events ftjob-1f0c9a2b --follow
  hadal jobs rollouts ftjob-1f0c9a2b --step 20
  hadal jobs download ftjob-1f0c9a2b --to adapters/mine
  hadal jobs pause ftjob-1f0c9a2b
  hadal jobs checkpoints ftjob-1f0c9a2b --url http://gpu.example:10935`,
    );
  const add = (
    name: string,
    description: string,
    run: (id: string, options: JobsOptions, terminal: Terminal) => Promise<void>,
  ) =>
    withServer(jobs.command(name))
      .description(description)
      .argument('<id>', 'of the job')
      .action((id: string, options: JobsOptions) => run(id, options, terminal));
  withServer(jobs.command('create'))
    .description('Train on a file of JSON Lines; what is wrong with it is told with its line')
    .argument('[rows]', 'the file that is learned from; none where the method has stored completions')
    .option('--model <name>', 'what to begin with (default: the first of the server)')
    .addOption(
      new Option(
        '--method <method>',
        'supervised, dpo, or a JSON file: {"type": "reinforcement", "reinforcement": {…}}',
      )
        .argParser(methodFrom)
        .default(undefined, 'supervised'),
    )
    .option('--validation <rows>', 'a file of what is not trained on')
    .option('--suffix <text>', "a part of the model's name")
    .option('--seed <number>', 'the same again with the same one', integerFrom(0, 2 ** 31 - 1))
    .option('--estimate', 'only say what it would take')
    .option('-f, --follow', 'show what it tells until it is over')
    .action((rows: string | undefined, options: JobsOptions & CreateOptions) =>
      createJob(rows, options, remoteOf(options), terminal, (id) =>
        showEvents(id, { ...options, follow: true }, terminal),
      ),
    );
  withServer(jobs.command('list'))
    .description('The latest jobs')
    .option('--limit <count>', 'so many at most', integerFrom(1, 100), 20)
    .action((options: JobsOptions) => listJobs(options, terminal));
  add('show', 'How far a job is, with its curve', showJob);
  add('events', 'What a job tells', showEvents).option('-f, --follow', 'go on until the job is over');
  add('checkpoints', 'The models that a job has made', showCheckpoints);
  add('download', "Fetch a model's files, for Transformers or, of an adapter, for PEFT", fetchModel)
    .option('--step <number>', 'of the checkpoint (default: the latest)', integerFrom(1))
    .option('--to <directory>', 'a new one (default: what the model is called)');
  add('rollouts', 'What a step of reinforcement asked, and what each answer was worth', showRollouts)
    .option('--step <number>', 'which (default: the latest)', integerFrom(1))
    .option('--limit <count>', 'so many answers at most', integerFrom(1, 1000), 16);
  add('pause', 'Let a job finish its step and save', changeJob('pause'));
  add('resume', 'Go on with a job that is paused', changeJob('resume'));
  add('cancel', 'End a job; its checkpoints stay', changeJob('cancel'));
  return jobs;
}

function withServer(command: Command): Command {
  return command
    .addOption(
      new Option('--url <address>', 'of the server')
        .argParser(serverUrl)
        .default(new URL(`http://127.0.0.1:${defaultPort}`), `http://127.0.0.1:${defaultPort}`),
    )
    .addOption(new Option('--api-key <key>', 'what that server asks for').env('HADAL_API_KEY'))
    .option('--json', 'print JSON, as the server says it');
}

function remoteOf({ url, apiKey }: JobsOptions): Remote {
  return { url, apiKey, model: undefined };
}

function pathOf(id: string, rest = ''): string {
  return `fine_tuning/jobs/${encodeURIComponent(id)}${rest}`;
}

async function listJobs(options: JobsOptions, terminal: Terminal): Promise<void> {
  const page = await serverJson<Page<WireJob>>(remoteOf(options), `fine_tuning/jobs?limit=${options.limit}`);
  if (options.json) return terminal.out(page.data.map((job) => `${JSON.stringify(job)}\n`).join(''));
  const rows = page.data.map((job) => [
    ...[job.id, job.method.type, job.model, statusOf(job), stepText(job), whenText(job.created_at)],
  ]);
  const head = ['id', 'method', 'model', 'status', 'steps', 'made'];
  terminal.out(rows.length === 0 ? 'There are no jobs.\n' : tableText(head, rows));
}

async function showJob(id: string, options: JobsOptions, terminal: Terminal): Promise<void> {
  const remote = remoteOf(options);
  const job = await serverJson<WireJob>(remote, pathOf(id));
  if (options.json) return terminal.out(`${JSON.stringify(job)}\n`);
  const lines = [
    `${job.id}: ${job.method.type} of ${job.model}, ${statusOf(job)}`,
    ...(job.step === undefined ? [] : [`step ${stepText(job)}${leftText(job)}`]),
    ...(job.error === null ? [] : [`because: ${job.error.message}`]),
    ...(job.fine_tuned_model === null ? [] : [`model: ${job.fine_tuned_model}`]),
  ];
  terminal.out(`${lines.map(printable).join('\n')}\n`);
  const events = await allEvents(remote, id);
  const metrics = events.filter(({ type }) => type === 'metrics').map(({ data }) => data);
  for (const name of curves) {
    const points = metrics.flatMap(({ step, [name]: y }) =>
      typeof step === 'number' && typeof y === 'number' ? [{ x: step, y }] : [],
    );
    if (points.length > 1) terminal.out(`\n${name}\n${curveText(points, curveWidth, curveHeight)}`);
  }
}

async function showEvents(id: string, options: JobsOptions, terminal: Terminal): Promise<void> {
  const remote = remoteOf(options);
  const show = (event: WireEvent) => terminal.out(options.json ? `${JSON.stringify(event)}\n` : eventLine(event));
  if (options.follow) {
    for await (const event of followed(remote, id)) show(event);
    const job = await serverJson<WireJob>(remote, pathOf(id));
    if (job.status !== 'succeeded') process.exitCode = exitCodes.failure;
    if (!options.json && job.fine_tuned_model !== null) {
      terminal.out(terminal.dim(`Talk with it: hadal chat --url ${remote.url.href} --model ${job.fine_tuned_model}\n`));
    }
    return;
  }
  for (const event of await allEvents(remote, id)) show(event);
}

async function showCheckpoints(id: string, options: JobsOptions, terminal: Terminal): Promise<void> {
  const data = await allOf<WireCheckpoint>(remoteOf(options), pathOf(id, '/checkpoints?limit=100&order=desc'));
  if (options.json) return terminal.out(data.map((one) => `${JSON.stringify(one)}\n`).join(''));
  const rows = data.map(({ step_number: step, fine_tuned_model_checkpoint: model, metrics }) => [
    step,
    model,
    Object.entries(metrics)
      .filter(([name]) => name !== 'step')
      .map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`)
      .join(', '),
  ]);
  terminal.out(rows.length === 0 ? 'There are none yet.\n' : tableText(['step', 'model', 'metrics'], rows));
}

async function fetchModel(id: string, options: JobsOptions, terminal: Terminal): Promise<void> {
  const checkpoints = await allOf<WireCheckpoint>(remoteOf(options), pathOf(id, '/checkpoints?limit=100&order=desc'));
  const { step } = options;
  const { data: models } = await serverJson<Page<{ id: string }>>(remoteOf(options), 'models');
  const there = checkpoints.filter(({ fine_tuned_model_checkpoint: name }) => models.some(({ id }) => id === name));
  const found = there.find(({ step_number: number }) => step === undefined || number === step);
  if (found === undefined) {
    const steps = there.map(({ step_number: number }) => number).join(', ');
    throw new Error(
      steps === ''
        ? `${id} has made no model yet, or all of them were deleted`
        : `expected one of the steps ${steps}, got ${step}`,
    );
  }
  await downloadModel(found.fine_tuned_model_checkpoint, options.to, remoteOf(options), terminal, options);
}

async function showRollouts(id: string, options: JobsOptions, terminal: Terminal): Promise<void> {
  const { step, limit } = options;
  const query = `/rollouts?limit=${limit}${step === undefined ? '' : `&step=${step}`}`;
  const page = await serverJson<{ step: number | null; data: readonly WireRollout[] }>(
    remoteOf(options),
    pathOf(id, query),
  );
  if (options.json) return terminal.out(page.data.map((one) => `${JSON.stringify(one)}\n`).join(''));
  if (page.data.length === 0) return terminal.out('There are none.\n');
  terminal.out(`step ${page.step}\n`);
  let asked = -1;
  for (const { prompt, messages, answer, reward, sub_rewards: parts, ...rollout } of page.data) {
    if (prompt !== asked) terminal.out(`\n${printable(messages.at(-1)?.content ?? '')}\n`);
    asked = prompt;
    const worth = Object.entries(parts).map(([name, value]) => `, ${name} ${Number(value.toPrecision(3))}`);
    const cut = rollout.is_truncated ? ', cut off' : '';
    terminal.out(`\n  ${Number(reward.toPrecision(3))}${worth.join('')}, ${rollout.completion_tokens} tokens${cut}\n`);
    const calls = answer.tool_calls.map((call) => JSON.stringify(call));
    if (answer.reasoning_content !== '') terminal.out(terminal.dim(indented(answer.reasoning_content)));
    terminal.out(
      [answer.content, ...calls]
        .filter((text) => text !== '')
        .map(indented)
        .join(''),
    );
  }
}

function indented(text: string): string {
  return `${printable(text).replaceAll(/^/gm, '  ')}\n`;
}

function changeJob(change: 'pause' | 'resume' | 'cancel') {
  return async (id: string, options: JobsOptions, terminal: Terminal): Promise<void> => {
    const job = await serverJson<WireJob>(remoteOf(options), pathOf(id, `/${change}`), {});
    terminal.out(options.json ? `${JSON.stringify(job)}\n` : `${job.id} is ${statusOf(job)}.\n`);
  };
}

/** Oldest first. */
async function allEvents(remote: Remote, id: string): Promise<WireEvent[]> {
  return await allOf<WireEvent>(remote, pathOf(id, '/events?limit=1000&order=asc'));
}

/** What is on all pages of a list. */
async function allOf<T>(remote: Remote, path: string): Promise<T[]> {
  const all: T[] = [];
  for (let after = ''; ; ) {
    const page = await serverJson<Page<T>>(remote, path + after);
    all.push(...page.data);
    if (!page.has_more || page.last_id === null) return all;
    after = `&after=${page.last_id}`;
  }
}

async function* followed(remote: Remote, id: string): AsyncGenerator<WireEvent, void, void> {
  const { body } = await callServer(remote, pathOf(id, '/events?stream=true'), {});
  if (body === null) return;
  const texts = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>);
  for await (const { data } of texts.pipeThrough(new EventSourceParserStream())) {
    if (data === '[DONE]') return;
    yield JSON.parse(data) as WireEvent;
  }
  throw new Error(`${remote.url.href}: the server has stopped; the job goes on when it is back`);
}

function eventLine({ created_at, level, message }: WireEvent): string {
  const mark = level === 'info' ? '' : `${level}: `;
  return `${whenText(created_at)}  ${mark}${printable(message)}\n`;
}

function statusOf({ status, paused }: WireJob): string {
  return paused ? 'paused' : status;
}

function stepText({ step = 0, total_steps: total }: WireJob): string {
  return total === undefined ? '' : `${step}/${total}`;
}

function leftText({ estimated_finish: finish }: WireJob): string {
  return finish === null ? '' : `, ${secondsInWords(Math.max(0, finish - Date.now() / 1000))} left`;
}

function whenText(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ');
}
