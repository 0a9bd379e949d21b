// Codex without a terminal: it writes a file and shows it, by its shell and by patches.

import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assertWritten, linesOf, runClient, task, workplace } from './coding.mjs';
import { acting, model, scene } from './scene.mjs';

/** The configuration of the README. Its own sandbox needs rights that a container often lacks. */
async function codex(name, settings = '') {
  const { home, work } = workplace(name);
  if (settings !== '') copyFileSync(join(import.meta.dirname, '../codex-models.json'), join(home, 'models.json'));
  const provider = `[model_providers.hadal]\nname = "Hadal"\nbase_url = "${acting}/v1"\nwire_api = "responses"\n`;
  writeFileSync(join(home, 'config.toml'), `model = "${model}"\nmodel_provider = "hadal"\n${settings}\n${provider}`);
  const args = ['exec', '--json', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', task];
  const events = linesOf(await runClient('codex', args, { work, home, env: { CODEX_HOME: home } }));
  assertWritten(work);
  assert.equal(events.at(-1).type, 'turn.completed');
  assert.ok(events.at(-1).usage.reasoning_output_tokens > 0);
  return events.flatMap(({ type, item }) => (type === 'item.completed' ? [item] : []));
}

await scene('writes a file by its shell and shows it', async () => {
  const items = await codex('shell');
  const commands = items.filter(({ type }) => type === 'command_execution');
  assert.deepEqual(
    commands.map(({ exit_code }) => exit_code),
    [0, 0],
  );
  assert.match(items.at(-1).text, /deep sea/);
});

await scene('writes a file by a patch, where it knows the model to take them', async () => {
  const items = await codex('patch', 'model_catalog_json = "models.json"');
  assert.deepEqual(
    items.map(({ type }) => type),
    ['file_change', 'command_execution', 'agent_message'],
  );
  assert.match(items.at(-1).text, /deep sea/);
});
