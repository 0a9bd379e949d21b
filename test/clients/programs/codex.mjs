// Codex without a terminal: it writes a file and shows it, by its shell and by patches.

import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assertWritten, linesOf, runClient, task, workplace } from './coding.mjs';
import { acting, model, scene } from './scene.mjs';

/** The configuration of docs/clients.md. Its own sandbox needs rights that a container often lacks. */
async function codexIn(name, settings = '') {
  const { home, work } = workplace(name);
  copyFileSync(join(import.meta.dirname, '../codex-models.json'), join(home, 'hadal-models.json'));
  const provider = `[model_providers.hadal]\nname = "Hadal"\nbase_url = "${acting}/v1"\nwire_api = "responses"\n`;
  writeFileSync(join(home, 'config.toml'), `model = "${model}"\nmodel_provider = "hadal"\n${settings}\n${provider}`);
  const options = ['--json', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox'];
  return {
    work,
    /** The items of a turn. */
    async ask(...args) {
      const events = linesOf(
        await runClient('codex', ['exec', ...args, ...options], { work, home, env: { CODEX_HOME: home } }),
      );
      const last = events.at(-1);
      assert.equal(last.type, 'turn.completed');
      assert.ok(last.usage.reasoning_output_tokens > 0);
      return events.flatMap(({ type, item }) => (type === 'item.completed' ? [item] : []));
    },
  };
}

await scene('writes a file by its shell and shows it', async () => {
  const { work, ask } = await codexIn('shell');
  const items = await ask(task);
  assertWritten(work);
  assert.deepEqual(
    items.flatMap(({ type, exit_code }) => (type === 'command_execution' ? [exit_code] : [])),
    [0, 0],
  );
  assert.match(items.at(-1).text, /deep sea/);
});

await scene('writes a file by a patch, where it knows the model to take them, and goes on later', async () => {
  const { work, ask } = await codexIn('patch', 'model_catalog_json = "hadal-models.json"');
  const items = await ask(task);
  assertWritten(work);
  assert.deepEqual(
    items.map(({ type }) => type),
    ['file_change', 'command_execution', 'agent_message'],
  );
  assert.match(items.at(-1).text, /deep sea/);
  const further = await ask('resume', '--last', 'And now?');
  assert.match(further.at(-1).text, /deep sea/);
});
