// Claude Code without a terminal: it writes a file and shows it.

import assert from 'node:assert/strict';
import { assertWritten, linesOf, runClient, task, workplace } from './coding.mjs';
import { acting, scene } from './scene.mjs';

const tools = ['--allowedTools', 'Write', 'Bash'];

/** As the README has it, and nothing at home but what it makes itself. */
function claude(name, ...args) {
  const { home, work } = workplace(name);
  const env = {
    ANTHROPIC_BASE_URL: `${acting}/anthropic`,
    ANTHROPIC_AUTH_TOKEN: 'none',
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
  };
  const output = runClient('claude', ['-p', task, ...args, ...tools], { work, home, env });
  return { work, output };
}

await scene('writes a file and shows it, told event by event', async () => {
  const { work, output } = claude('events', '--output-format', 'stream-json', '--verbose');
  const events = linesOf(await output);
  assertWritten(work);
  const blocks = events.flatMap(({ type, message }) => (type === 'assistant' ? message.content : []));
  const used = blocks.flatMap(({ type, name }) => (type === 'tool_use' ? [name] : []));
  assert.deepEqual(used, ['Write', 'Bash']);
  assert.ok(blocks.some(({ type }) => type === 'thinking'));
  const last = events.at(-1);
  assert.deepEqual([last.type, last.subtype, last.is_error], ['result', 'success', false]);
  assert.match(last.result, /deep sea/);
  assert.ok(last.usage.input_tokens > 0);
});

await scene('runs with the model that it is given', async () => {
  const { work, output } = claude('model', '--model', 'deepseek-flash');
  assert.match(await output, /deep sea/);
  assertWritten(work);
});
