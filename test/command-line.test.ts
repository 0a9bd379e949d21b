// The command line as a person and a pipe use it, with a real model of random weights.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createSocketServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openSafetensors } from '@hadal/formats/safetensors';
import type { Recipe } from '@hadal/training/recipe';
import { hadal, startHadal } from './hadal.ts';
import { tinyConfig, writeTinyCheckpoint } from './tiny-checkpoint.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
after(() => rmSync(directory, { recursive: true }));
const checkpoint = join(directory, 'tiny');
writeTinyCheckpoint(checkpoint);
// One thread: a model this small gains nothing from two, and other tests share the machine.
const model = ['--threads', '1', '--model', checkpoint, '--max-tokens', '24', '--seed', '3'];

test('ask prints the answer and nothing else, the same one for the same seed', async () => {
  const first = await hadal(['ask', ...model, '--no-think', 'hello there']);
  const second = await hadal(['ask', ...model, '--no-think', 'hello', 'there']);
  assert.equal(first.code, 0);
  assert.ok(first.stdout.length > 1);
  assert.equal(first.stdout, second.stdout);
});

test('ask --json tells answer, reasoning and token counts, and piped text belongs to the question', async () => {
  const asked = await hadal(['ask', ...model, '--json', 'hello']);
  const piped = await hadal(['ask', ...model, '--json', 'hello'], { input: 'and more words\n' });
  const [one, two] = [JSON.parse(asked.stdout), JSON.parse(piped.stdout)];
  assert.equal(one.model, 'tiny');
  assert.equal(typeof one.content + typeof one.reasoning_content + typeof one.finish_reason, 'string'.repeat(3));
  assert.equal(one.usage.total_tokens, one.usage.prompt_tokens + one.usage.completion_tokens);
  assert.ok(two.usage.prompt_tokens > one.usage.prompt_tokens);
});

test('chat reads lines from a pipe, answers each and obeys commands', async () => {
  const { code, stdout, stderr } = await hadal(['chat', ...model], {
    input: '/think off\none\n/nonsense\n\\\n\n/exit\nx\n',
  });
  assert.equal(stderr, '');
  assert.equal(code, 0);
  assert.match(stdout, /^It answers at once\.\n\n.+\n\n\/nonsense is not a command\.\n\/new /s);
});

test('a question that is too long is refused in one line, and chat goes on', async () => {
  const { code, stdout, stderr } = await hadal(['chat', ...model], { input: `${'why '.repeat(600)}\nhello\n` });
  assert.match(stderr, /^hadal: This model's maximum context length is 512 tokens\.[^\n]+\n\/new starts [^\n]+\n$/);
  assert.ok(stdout.trim().length > 0);
  assert.equal(code, 0);
});

test('what a server answers is what the model answers in the process of ask', async () => {
  await using server = startHadal(['serve', '--port', '0', '--threads', '1', '--model', checkpoint]);
  const [, url] = await server.untilOutput(/is ready at (http:\S+)\n/);
  const here = await hadal(['ask', ...model, '--json', 'hello']);
  const there = await hadal(['ask', '--url', url as string, '--max-tokens', '24', '--seed', '3', '--json', 'hello']);
  const [remote, local] = [there, here].map(({ stdout }) => JSON.parse(stdout));
  assert.ok(remote.time_to_first_token_ms > 0 && local.time_to_first_token_ms > 0);
  // How long it took is the one thing that may differ, and with it how far guesses went.
  const said = ({ usage, ...rest }: { readonly usage: object }) => {
    const { completion_tokens_details: _, ...counts } = usage as Record<string, unknown>;
    return { ...rest, ...counts, time_to_first_token_ms: 0, tokens_per_second: 0 };
  };
  assert.deepEqual(said(remote), said(local));
  server.terminate();
  assert.equal((await server.ended).code, 0);
});

interface Served {
  readonly choices: readonly { readonly message: { readonly content: string } }[];
  readonly usage: {
    readonly prompt_tokens: number;
    readonly prompt_cache_hit_tokens: number;
    readonly completion_tokens_details: { readonly accepted_prediction_tokens: number };
  };
}

/** Serves the tiny checkpoint for one question, and what it answers. */
async function serveOnce(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Served> {
  await using server = startHadal(['serve', '--port', '0', '--threads', '1', '--model', checkpoint, ...args], { env });
  const [, url] = await server.untilOutput(/is ready at (http:\S+)\n/);
  const response = await fetch(`${url}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      ...{ model: 'tiny', messages: [{ role: 'user', content: 'how deep is the sea? '.repeat(12) }], max_tokens: 16 },
      ...{ temperature: 1, seed: 3 },
    }),
  });
  assert.equal(response.status, 200);
  server.terminate();
  assert.equal((await server.ended).code, 0);
  return (await response.json()) as Served;
}

test('a prompt that was read before a restart is found on disk, and the answer is the same', async () => {
  const env = { HADAL_HOME: join(directory, 'home') };
  const [cold, warm] = [await serveOnce([], env), await serveOnce([], env)];
  const without = await serveOnce(['--disk-cache', '0'], env);
  assert.deepEqual(warm.choices, cold.choices);
  assert.deepEqual(without.choices, cold.choices);
  const { prompt_tokens } = cold.usage;
  assert.ok(prompt_tokens > 128);
  const wholePages = Math.floor((prompt_tokens - 1) / 64) * 64;
  const hits = [cold, warm, without].map(({ usage }) => usage.prompt_cache_hit_tokens);
  assert.deepEqual(hits, [0, wholePages, 0]);
});

test('a draft model guesses for a model with its tokenizer, and is refused for another', async () => {
  const env = { HADAL_HOME: join(directory, 'home-of-drafts') };
  const drafted = await serveOnce(['--draft-model', checkpoint], env);
  const plain = await serveOnce(['--disk-cache', '0', '--speculative', 'none'], env);
  assert.deepEqual(drafted.choices, plain.choices);
  // The model itself guesses everything right.
  assert.ok(drafted.usage.completion_tokens_details.accepted_prediction_tokens > 4);
  assert.equal(plain.usage.completion_tokens_details.accepted_prediction_tokens, 0);

  const nano = join(import.meta.dirname, '../models/hadal-nano');
  const refused = await hadal(['serve', '--port', '0', '--model', checkpoint, '--draft-model', nano], { env });
  assert.match(
    refused.stderr,
    /^hadal: [^\n]*hadal-nano: expected token \d+ to be [^\n]+ as in the model that it guesses for[^\n]*\n$/,
  );
  assert.equal(refused.code, 1);
  const absent = await hadal(['serve', '--port', '0', '--model', checkpoint, '--speculative', 'draft'], { env });
  assert.match(absent.stderr, /^hadal: [^\n]*expected a drafter among [^\n]+, got draft\n$/);
});

test('Ctrl-C stops the answer of chat and not the program', async () => {
  const waiting: ServerResponse[] = [];
  await using server = await toyServer((response) => {
    response.write(chunk({ content: waiting.length === 0 ? 'never ending' : 'second' }));
    if (waiting.push(response) === 2) response.end(chunk({ content: '' }, 'stop'));
  });
  await using chat = startHadal(['chat', '--url', server.url]);
  chat.write('one\n');
  await chat.untilOutput(/never ending/);
  chat.interrupt();
  await chat.untilOutput(/\(stopped\)/);
  chat.write('two\n/exit\n');
  const { code, stdout } = await chat.ended;
  assert.match(stdout, /never ending\n\(stopped\)\n\nsecond\n/);
  assert.equal(code, 0);
});

test('Ctrl-C ends ask with a code of its own, after what was already said', async () => {
  await using server = await toyServer((response) => response.write(chunk({ content: 'half an' })));
  await using ask = startHadal(['ask', '--url', server.url, 'hi'], { input: '' });
  await ask.untilOutput(/half an/);
  ask.interrupt();
  const { code, stdout } = await ask.ended;
  assert.equal(stdout, 'half an\n');
  assert.equal(code, 130);
});

test('a broken or missing checkpoint is one line that says what was expected, what was found and where', async () => {
  const cases: [name: string, spoil: (path: string) => void, message: RegExp][] = [
    [
      'truncated',
      (path) => truncateSync(join(path, 'model.safetensors'), 100_000),
      /model\.safetensors.*expected.*100000/,
    ],
    ['shape', (path) => replaceIn(path, '"hidden_size":32', '"hidden_size":64'), /expected \[\d+, 64\] .*\[\d+, 32\]/],
    ['field', (path) => replaceIn(path, '"kv_lora_rank":16', '"kv_lora_rank":"x"'), /config\.json: kv_lora_rank/],
    ['json', (path) => writeFileSync(join(path, 'config.json'), '{'), /config\.json: expected JSON/],
    [
      'architecture',
      (path) => replaceIn(path, '"deepseek_v3"', '"gpt2"'),
      /config\.json: model_type: expected one of .*deepseek_v3.* found "gpt2"/,
    ],
    ['tokenizer', (path) => rmSync(join(path, 'tokenizer.json')), /tokenizer\.json: expected/],
    ['weights', (path) => rmSync(join(path, 'model.safetensors')), /expected model\.safetensors/],
    ['missing', (path) => rmSync(path, { recursive: true }), /missing: expected a checkpoint/],
  ];
  for (const [name, spoil, message] of cases) {
    const path = join(directory, name);
    cpSync(checkpoint, path, { recursive: true });
    spoil(path);
    const { code, stdout, stderr } = await hadal(['ask', '--threads', '1', '--model', path, 'hi']);
    assert.match(stderr, /^hadal: [^\n]+\n$/, name);
    assert.match(stderr, message);
    assert.deepEqual([code, stdout], [1, '']);
  }
});

test('a taken port is one line that names the way to choose another', async () => {
  const other = createSocketServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as AddressInfo;
  const { code, stderr } = await hadal(['serve', '--threads', '1', '--model', checkpoint], {
    env: { PORT: String(port) },
  });
  other.close();
  assert.match(stderr, new RegExp(`^hadal: port ${port} [^\\n]*in use[^\\n]*PORT[^\\n]*\\n$`));
  assert.equal(code, 1);
});

test('a command called the wrong way says how to call it, and exits with 2', async () => {
  const cases: [args: string[], message: RegExp][] = [
    [['dance'], /unknown command 'dance'/],
    [['ask', '--tempo', '3'], /unknown option '--tempo'/],
    [['ask', '--temperature', 'hot', 'hi'], /--temperature.*expected a number from 0 to 2/],
    [['ask'], /nothing to ask/],
    [['chat', '--url', 'nowhere'], /--url.*expected an address such as/],
    [['serve', '--port', '70000'], /--port.*expected a whole number from 0 to 65535/],
    [['train'], /missing required argument 'recipe'/],
    [['train', 'no-such-recipe'], /no-such-recipe: expected a file or one of the recipes/],
    [['eval', '--task', 'juggle'], /juggle: expected one of the tasks compare-decimals, /],
    [['ask', '--dtype', 'int3', 'hi'], /--dtype.*Allowed choices are f32, bf16, int8, int4/],
    [['convert', 'a', 'b'], /required option '--to <dtype>' not specified/],
    [['inspect'], /missing required argument 'checkpoint'/],
    [['verify'], /missing required argument 'path'/],
  ];
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await hadal(args);
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /\n\s+at /);
    assert.deepEqual([code, stdout], [2, ''], args.join(' '));
  }
});

test('every command explains itself with examples', async () => {
  const { stdout: overview, code } = await hadal(['--help']);
  const commands = [...overview.matchAll(/^ {2}([a-z]+)(?:\|[a-z]+)? /gm)].map((match) => match[1] as string);
  assert.deepEqual(commands.toSorted(), [
    'ask',
    'audit',
    'backup',
    'chat',
    'convert',
    'curves',
    'deploy',
    'doctor',
    'eval',
    'help',
    'inspect',
    'jobs',
    'keys',
    'organizations',
    'restore',
    'serve',
    'train',
    'usage',
    'verify',
  ]);
  assert.equal(code, 0);
  for (const command of commands.filter((name) => name !== 'help')) {
    assert.match((await hadal([command, '--help'])).stdout, new RegExp(`Examples:\\n  hadal ${command}\\b`));
  }
});

test('verify passes the reference checkpoint, and fails one whose weights differ', async () => {
  const golden = join(import.meta.dirname, 'golden/deepseek-v3');
  const good = await hadal(['verify', golden, '--threads', '1']);
  assert.match(good.stdout, /\n(\d+) of \1 within tolerance\n$/);
  assert.equal(good.code, 0);

  const changed = join(directory, 'changed');
  cpSync(golden, changed, { recursive: true });
  const weights = readFileSync(join(changed, 'model.safetensors'));
  // The last bytes belong to some tensor: make its last float 1.
  weights.writeFloatLE(1, weights.length - 4);
  writeFileSync(join(changed, 'model.safetensors'), weights);
  const bad = await hadal(['verify', changed, '--threads', '1', '--json']);
  const { passes, comparisons } = JSON.parse(bad.stdout);
  assert.equal(passes, false);
  assert.ok(comparisons.some((comparison: { passes: boolean }) => !comparison.passes));
  assert.equal(bad.code, 1);
});

test('eval judges answers to unseen problems, the same ones for the same seed', async () => {
  const args = ['eval', ...model.slice(0, 4), '--task', 'compare-decimals', '--count', '3', '--show', '3', '--json'];
  const [first, again, other] = await Promise.all([hadal(args), hadal(args), hadal([...args, '--seed', '1'])]);
  const report = JSON.parse(first.stdout);
  assert.equal(report.split, 'test');
  assert.deepEqual(
    report.tasks.map(({ task, count, correct }: { task: string; count: number; correct: number }) => [
      task,
      count,
      correct,
    ]),
    [['compare-decimals', 3, 0]],
  );
  assert.equal(first.stdout, again.stdout);
  const keys = (stdout: string) => JSON.parse(stdout).tasks[0].failures.map(({ key }: { key: string }) => key);
  assert.notDeepEqual(keys(other.stdout), keys(first.stdout));
});

test('train makes a model that ask can open, and goes on after an interruption to the same weights', async () => {
  const recipe = join(directory, 'recipe.ts');
  writeFileSync(recipe, `export const recipe = ${JSON.stringify(tinyRecipe)};`);
  const train = ['train', recipe, '--threads', '1', '--out'];
  const [whole, parts] = [join(directory, 'whole'), join(directory, 'parts')];
  const done = await hadal([...train, whole]);
  assert.equal(done.stderr, '');
  assert.match(done.stdout, /step 60 of 60 .*loss \d.*tokens\/s.*left\n/);
  assert.equal(done.code, 0);

  await using stopped = startHadal([...train, parts]);
  await stopped.untilOutput(/step 1 of 60/);
  stopped.interrupt();
  assert.equal((await stopped.ended).code, 130);
  assert.match((await hadal([...train, parts])).stdout, /going on after step [1-5]?\d of 60/);
  const weights = (run: string) => readFileSync(join(run, 'model/model.safetensors'));
  assert.ok(weights(whole).equals(weights(parts)));

  const { stdout, code } = await hadal([
    'ask',
    '--threads',
    '1',
    '--model',
    join(whole, 'model'),
    '--max-tokens',
    '4',
    'hi',
  ]);
  assert.ok(stdout.length > 0);
  assert.equal(code, 0);

  // Another recipe begins with what this one has made; at a rate of 0 it ends with it too.
  const still = {
    learningRates: { adamw: 0, muon: 0 },
    balanceRate: 0,
    schedule: { steps: 2, warmupSteps: 0, decayShare: 0 },
  };
  const further = { ...tinyRecipe, name: 'further', seed: 'other', stages: [{ ...tinyRecipe.stages[0], ...still }] };
  const begin = async (from: string) => {
    writeFileSync(recipe, `export const recipe = ${JSON.stringify({ ...further, model: from })};`);
    return await hadal([...train, join(directory, 'further')]);
  };
  assert.match((await begin('no/model')).stderr, /no\/model: expected a model, found none; train it first/);
  assert.equal((await begin(join(whole, 'model'))).code, 0);
  for (const file of ['model.safetensors', 'tokenizer.json']) {
    assert.ok(
      readFileSync(join(directory, 'further/model', file)).equals(readFileSync(join(whole, 'model', file))),
      file,
    );
  }
});

test('a recipe may make the mean of what its stages ended with, the same after an interruption', async () => {
  const recipe = join(directory, 'averaging.ts');
  const stages = [1e-3, 3e-3].map((rate) => ({
    ...{ ...tinyRecipe.stages[0], learningRates: { adamw: rate, muon: rate } },
    schedule: { steps: 20, warmupSteps: 2, decayShare: 1 },
  }));
  const averaging = { ...tinyRecipe, name: 'averaging', stages, average: 'stage-ends' };
  writeFileSync(recipe, `export const recipe = ${JSON.stringify(averaging)};`);
  const train = ['train', recipe, '--threads', '1', '--checkpoint-every', '1', '--out'];
  const [whole, parts] = [join(directory, 'mean'), join(directory, 'mean-in-parts')];
  assert.equal((await hadal([...train, whole])).code, 0);
  await using stopped = startHadal([...train, parts]);
  await stopped.untilOutput(/step 1 of 40/);
  stopped.interrupt();
  await stopped.ended;
  assert.equal((await hadal([...train, parts])).code, 0);
  const ends = ['stage-1-end.safetensors', 'checkpoint-40/weights.safetensors'];
  const [first, last] = ends.map((file) => openSafetensors(join(whole, file)));
  const model = openSafetensors(join(whole, 'model/model.safetensors'));
  let isAnyDifferent = false;
  for (const name of model.tensors.keys()) {
    const [a, b, mean] = [first, last, model].map((file) => file?.readFloat32(name) as Float32Array);
    isAnyDifferent ||= a?.some((value, i) => value !== b?.[i]) === true;
    for (const [i, value] of (mean as Float32Array).entries()) {
      const expected = ((a?.[i] as number) + (b?.[i] as number)) / 2;
      assert.ok(Math.abs(value - expected) <= Math.abs(expected) / 256, name);
    }
  }
  assert.ok(isAnyDifferent);
  const made = [whole, parts].map((run) => readFileSync(join(run, 'model/model.safetensors')));
  assert.ok(made[0]?.equals(made[1] as Buffer));
});

test('a reader that leaves early ends the program quietly', async () => {
  await using ask = startHadal(['ask', '--help'], { input: '' });
  ask.closeOutput();
  assert.equal((await ask.ended).stderr, '');
});

/** Long enough to be interrupted, short enough to be waited for. */
const mixture = { introduce: 1 };
const tinyRecipe: Recipe = {
  name: 'tiny',
  seed: 'tiny',
  config: { ...tinyConfig, vocab_size: 400 },
  generation: { do_sample: false, eos_token_id: 1 },
  tokenizer: { documents: 50, mixture },
  optimizer: {
    adamw: { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 },
    muon: { momentum: 0.95, weightDecay: 0.1, updateRms: 0.2, iterations: [[2, -1.5, 0.5]] },
  },
  clipNorm: 1,
  stages: [
    {
      method: 'sft',
      schedule: { steps: 60, warmupSteps: 2, decayShare: 0.5 },
      learningRates: { adamw: 1e-3, muon: 1e-3 },
      rows: 2,
      rowTokens: 256,
      predictorWeight: 0.1,
      balanceRate: 1e-3,
      mixture,
    },
  ],
};

function replaceIn(path: string, from: string, to: string): void {
  const file = join(path, 'config.json');
  writeFileSync(file, readFileSync(file, 'utf8').replace(from, to));
}

/** A server with one model, whose answers `answer` writes. */
async function toyServer(answer: (response: ServerResponse) => void): Promise<AsyncDisposable & { url: string }> {
  const server = createServer((request, response) => {
    if (request.url === '/models') response.end(JSON.stringify({ data: [{ id: 'toy' }] }));
    else answer(response.writeHead(200, { 'content-type': 'text/event-stream' }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function chunk(delta: object, finish_reason: string | null = null): string {
  return `data: ${JSON.stringify({ choices: [{ delta, finish_reason }] })}\n\n`;
}

test('curves draws a measure of jobs, each step once, and names the measures there are', async () => {
  const job = join(directory, 'some-job');
  mkdirSync(job);
  const metrics = (step: number, reward: number) =>
    `${JSON.stringify({ type: 'metrics', atMs: 0, step, data: { reward } })}\n`;
  writeFileSync(join(job, 'journal.jsonl'), `${metrics(1, 0)}${metrics(2, 9)}${metrics(2, 0.5)}{"type": "met`);
  const out = join(directory, 'reward.svg');
  const drawn = await hadal(['curves', job, '-m', 'reward', '-o', out]);
  assert.equal(drawn.stdout, `${out}: some-job, 2 points\n`);
  const picture = readFileSync(out, 'utf8');
  assert.match(picture, /^<svg [^>]+>\n/);
  assert.match(picture, /<polyline [^>]*points="\S+ \S+"\/>/);
  const unknown = await hadal(['curves', job, '-m', 'loss', '-o', out]);
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /expected one of the measures reward, got loss/);
});
