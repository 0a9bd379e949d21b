// The real program under signals: what is being answered goes on, whatever is read again and whoever asks it to stop.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Running, startHadal } from './hadal.ts';
import { tinyConfig, writeTinyCheckpoint } from './tiny-checkpoint.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
const started = new Set<Running>();
after(async () => {
  for (const server of started) await server[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});
const checkpoint = join(directory, 'tiny');
writeTinyCheckpoint(checkpoint, { config: { ...tinyConfig, max_position_embeddings: 8192 } });

function configure(home: string, text: string): void {
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, 'hadal.yaml'), text);
}

async function start(home: string): Promise<{ readonly server: Running; readonly url: string }> {
  const args = ['serve', '--port', '0', '--threads', '1', '--disk-cache', '0', '--log', 'info', '--model', checkpoint];
  const server = startHadal(args, { env: { HADAL_HOME: home } });
  started.add(server);
  const [, url = ''] = await server.untilOutput(/is ready at (http:\S+)\n/);
  return { server, url };
}

/** A stream of so many tokens. The end of sentence is never chosen. */
async function openStream(url: string, model: string, tokens: number) {
  const body = { model, prompt: 'two words', max_tokens: tokens, stream: true, logit_bias: { 1: -100 } };
  const response = await fetch(`${url}/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200);
  assert.ok(response.body);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const { value: first = '' } = await reader.read();
  let isOver = false;
  const whole = (async () => {
    let text = first;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      text += value;
    }
    isOver = true;
    return text;
  })();
  return { whole, isOver: () => isOver };
}

function assertWhole(text: string, tokens: number): void {
  assert.ok(text.endsWith('data: [DONE]\n\n'), text.slice(-300));
  const last = JSON.parse(text.trimEnd().split('\n\n').at(-2)?.replace('data: ', '') ?? '');
  assert.deepEqual([last.choices[0].finish_reason, last.usage.completion_tokens], ['length', tokens]);
}

async function modelsOf(url: string): Promise<string[]> {
  const { data } = (await (await fetch(`${url}/models`)).json()) as { data: { id: string }[] };
  return data.map(({ id }) => id);
}

async function untilServed(url: string, model: string): Promise<void> {
  for (const until = Date.now() + 10_000; !(await modelsOf(url)).includes(model); await delay(10)) {
    assert.ok(Date.now() < until, `expected ${model} within ten seconds, got ${await modelsOf(url)}`);
  }
}

test('a configuration is read again while a stream goes on; a wrong one is refused with all its mistakes', async () => {
  const home = join(directory, 'reload');
  configure(home, 'models: { first: {} }\n');
  const { server, url } = await start(home);
  const stream = await openStream(url, 'first', 6000);

  configure(home, 'models: { second: {} }\n');
  server.hangUp();
  await untilServed(url, 'second');
  assert.ok(!(await modelsOf(url)).includes('first'));

  configure(home, 'server: { port: none }\nmodels: { third: { thinking: sometimes } }\n');
  server.hangUp();
  // Nothing can be waited for where nothing changes: the next one is read after it.
  await delay(200);
  assert.ok((await modelsOf(url)).includes('second'));
  configure(home, 'models: { third: { model: nobody } }\n');
  server.hangUp();
  await delay(200);
  assert.ok((await modelsOf(url)).includes('second'));

  configure(home, 'server: { port: 1, keep_alive_seconds: 5 }\nmodels: { fourth: {} }\n');
  server.hangUp();
  await untilServed(url, 'fourth');
  assert.ok(!stream.isOver(), 'all of this while it was being answered');
  assertWhole(await stream.whole, 6000);

  server.terminate();
  const { code, stderr } = await server.ended;
  assert.equal(code, 0, stderr);
  const lines = stderr.split('\n').filter((line) => line.startsWith('{'));
  const said = lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg.startsWith('configuration '));
  const file = join(home, 'hadal.yaml');
  assert.deepEqual(
    said.map(({ msg, mistakes, settings }) => ({ msg, told: mistakes ?? settings })),
    [
      { msg: 'configuration read again', told: undefined },
      {
        msg: 'configuration refused, the one before stays',
        told: [
          `${file}:1: server.port: expected integer from 0 to 65535, got string`,
          `${file}:2: models.third.thinking: expected one of "off", "high", got "sometimes"`,
        ],
      },
      {
        msg: 'configuration refused, the one before stays',
        told: ['models: expected one of the models there are, "tiny", got "nobody"'],
      },
      { msg: 'configuration changed where it needs a restart', told: ['server.port'] },
      { msg: 'configuration read again', told: undefined },
    ],
  );
});

test('a server that is asked to stop takes nobody new and lets its streams end', async () => {
  const { server, url } = await start(join(directory, 'stop'));
  const stream = await openStream(url, 'tiny', 3000);
  server.terminate();
  for (const until = Date.now() + 5_000; ; await delay(10)) {
    const isRefused = await fetch(`${url}/healthz`).then(
      ({ status }) => status === 503,
      () => true,
    );
    if (isRefused) break;
    assert.ok(Date.now() < until, 'expected to be refused within five seconds');
  }
  assert.ok(!stream.isOver(), 'refused while the stream goes on');
  assertWhole(await stream.whole, 3000);
  assert.equal((await server.ended).code, 0);
});
