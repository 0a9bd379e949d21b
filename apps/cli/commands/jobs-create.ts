// `hadal jobs create`: a training job from files of this machine.
//
// Owns what is sent: the files first, then the order, whose method is a name or a file. What is wrong with them is the server's to say.
// Speaks with the server over its API, like everybody.

import { openAsBlob, readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { bytesInWords, countInWords, secondsInWords } from '../quantities.ts';
import { callServer, type Remote, serverJson } from '../remote-model.ts';
import { printable, type Terminal } from '../terminal.ts';

export interface CreateOptions {
  readonly model?: string;
  readonly method?: object;
  readonly validation?: string;
  readonly suffix?: string;
  readonly seed?: number;
  readonly estimate?: true;
  readonly follow?: true;
  readonly json?: true;
}

interface WireEstimate {
  readonly model: string;
  readonly tokens: number;
  readonly steps: number;
  readonly memory_bytes: number;
  readonly seconds: number;
}

interface WireMadeJob {
  readonly id: string;
}

/** Parses the name of a method whose options are the usual ones, or the path of a file with one as the API takes it. */
export function methodFrom(text: string): object {
  if (text === 'supervised' || text === 'dpo') return { type: text };
  try {
    const method: unknown = JSON.parse(readFileSync(text, 'utf8'));
    if (typeof method === 'object' && method !== null && 'type' in method) return method;
  } catch (error) {
    throw new InvalidArgumentError(
      `expected supervised, dpo, or a JSON file with a method. ${(error as Error).message}.`,
    );
  }
  throw new InvalidArgumentError(
    `expected a method in ${text}, such as {"type": "reinforcement", "reinforcement": {…}}.`,
  );
}

/** `rows`: none where the method says where there is something to learn from. `follow`: shows what a job tells until it is over. */
export async function createJob(
  rows: string | undefined,
  options: CreateOptions,
  remote: Remote,
  terminal: Terminal,
  follow: (id: string) => Promise<void>,
): Promise<void> {
  const { method, suffix, seed, validation, json } = options;
  const model = options.model ?? (await firstModel(remote));
  const files: string[] = [];
  const send = async (path: string) => {
    const id = await upload(remote, path);
    files.push(id);
    return id;
  };
  let job: WireMadeJob | undefined;
  try {
    const training_file = rows === undefined ? undefined : await send(rows);
    const validation_file = validation === undefined ? undefined : await send(validation);
    const order = { model, training_file, validation_file, suffix, seed, method };
    if (options.estimate) {
      const estimate = await serverJson<WireEstimate>(remote, 'fine_tuning/jobs/estimate', order);
      terminal.out(json ? `${JSON.stringify(estimate)}\n` : estimateText(estimate));
    } else job = await serverJson<WireMadeJob>(remote, 'fine_tuning/jobs', order);
  } finally {
    // Files that no job has are of no use to anybody.
    if (job === undefined)
      for (const id of files) await callServer(remote, `files/${id}`, { method: 'DELETE' }).catch(() => {});
  }
  if (job === undefined) return;
  if (options.follow) return await follow(job.id);
  if (json) return terminal.out(`${JSON.stringify(job)}\n`);
  terminal.out(`${job.id}\n${terminal.dim(`What it tells: hadal jobs events ${job.id} --follow`)}\n`);
}

async function firstModel(remote: Remote): Promise<string> {
  const { data } = await serverJson<{ readonly data: readonly { readonly id: string }[] }>(remote, 'models');
  const [first] = data;
  if (first === undefined) throw new Error(`${remote.url.href}: expected a model to train, the server has none`);
  return first.id;
}

async function upload(remote: Remote, path: string): Promise<string> {
  const body = new FormData();
  body.append('purpose', 'fine-tune');
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
    throw new Error(`${path}: expected a file of JSON Lines, there is none`);
  }
  const content = await openAsBlob(path);
  body.append('file', content, basename(path));
  return (await serverJson<{ readonly id: string }>(remote, 'files', body)).id;
}

function estimateText({ model, tokens, steps, memory_bytes: bytes, seconds }: WireEstimate): string {
  const time = `some ${secondsInWords(seconds)}`;
  return `${printable(model)}: ${steps} steps, ${countInWords(tokens)} tokens, ${bytesInWords(bytes)} of memory, ${time}\n`;
}
