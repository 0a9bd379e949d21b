import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import OpenAI from 'openai';
import { hadal, startHadal } from '../hadal.ts';

// The real program in front of the real program, as a configuration file says it.

function configuration(text: string): Disposable & { readonly path: string } {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-config-'));
  const path = join(directory, 'hadal.yaml');
  writeFileSync(path, text);
  return { path, [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
}

test('a server without a model of its own answers with those of others, under their names and under DeepSeek’s', async () => {
  await using behind = startHadal(['serve', '--port', '0']);
  const [, url = ''] = await behind.untilOutput(/ready at (http:\S+)/);
  using file = configuration(`
server: { local_model: false }
upstreams:
  far: { model: hadal-nano, servers: [{ url: "${url}/v1" }, { url: "http://127.0.0.1:9/v1", key_env: FAR_KEY }] }
models:
  deepseek-chat: { model: far }
`);
  await using front = startHadal(['serve', '--port', '0', '--config', file.path], { env: { FAR_KEY: 'secret' } });
  const [, name, address] = await front.untilOutput(/(far .*) is ready at (http:\S+)/);
  assert.equal(name, 'far (2 servers)');
  const ask = (baseURL: string, model: string) =>
    new OpenAI({ baseURL, apiKey: 'any', maxRetries: 0 }).chat.completions.create({
      ...{ model, temperature: 0, messages: [{ role: 'user', content: 'Which is greater, 9.11 or 9.8?' }] },
      ...({ thinking: { type: 'disabled' } } as object),
    });
  const there = await ask(url, 'hadal-nano');
  for (const model of ['far', 'deepseek-chat', 'far', 'deepseek-chat']) {
    const here = await ask(address as string, model);
    assert.equal(here.choices[0]?.message.content, there.choices[0]?.message.content);
    assert.equal(here.usage?.completion_tokens, there.usage?.completion_tokens);
  }
  front.terminate();
  assert.equal((await front.ended).code, 0);
});

test('what is wrong with upstreams is told before anything is loaded, all of it at once', async () => {
  const server = '{ url: "http://127.0.0.1:9/v1", key_env: HADAL_TEST_NO_KEY }';
  using keys = configuration(`upstreams: { a: { servers: [${server}] }, b: { servers: [${server}] } }`);
  const ended = await hadal(['serve', '--port', '0', '--config', keys.path]);
  assert.equal(ended.code, 1);
  for (const name of ['a', 'b']) {
    assert.ok(ended.stderr.includes(`upstreams.${name}: expected a key in HADAL_TEST_NO_KEY, the variable is empty`));
  }
  using twice = configuration('upstreams: { hadal-nano: { servers: [{ url: "http://127.0.0.1:9/v1" }] } }');
  const other = await hadal(['serve', '--port', '0', '--config', twice.path]);
  assert.match(other.stderr, /upstreams: expected a name that no other model has, got "hadal-nano"/);
});
