// Claude Code without a terminal: it writes a file and shows it.

import assert from 'node:assert/strict';
import { assertWritten, linesOf, runClient, task, workplace } from './coding.mjs';
import { acting, scene } from './scene.mjs';

const tools = ['--allowedTools', 'Write', 'Bash'];

/** A place of its own for every conversation: what was asked there is found again. */
function claudeIn(name) {
  const { home, work } = workplace(name);
  const env = {
    ANTHROPIC_BASE_URL: `${acting}/anthropic`,
    ANTHROPIC_AUTH_TOKEN: 'none',
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
  };
  const ask = (...args) => runClient('claude', ['-p', ...args, ...tools], { work, home, env });
  return { work, ask };
}

await scene('writes a file and shows it, told event by event', async () => {
  const { work, ask } = claudeIn('events');
  const events = linesOf(await ask(task, '--output-format', 'stream-json', '--verbose'));
  assertWritten(work);
  const blocks = events.flatMap(({ type, message }) => (type === 'assistant' ? message.content : []));
  const used = blocks.flatMap(({ type, name }) => (type === 'tool_use' ? [name] : []));
  assert.deepEqual(used, ['Write', 'Bash']);
  assert.ok(blocks.some(({ type }) => type === 'thinking'));
  const last = events.at(-1);
  assert.deepEqual([last.type, last.subtype, last.is_error], ['result', 'success', false]);
  assert.match(last.result, /deep sea/);
  assert.ok(last.usage.input_tokens > 0 && last.usage.output_tokens_details.thinking_tokens > 0);
});

await scene('runs with the model that it is given, and goes on later', async () => {
  const { work, ask } = claudeIn('model');
  assert.match(await ask(task, '--model', 'deepseek-flash'), /deep sea/);
  assertWritten(work);
  assert.match(await ask('And now?', '--continue'), /deep sea/);
});

await scene('loads a tool that it had left out', async () => {
  const { ask } = claudeIn('search');
  const events = linesOf(await ask('Which tool edits notebooks?', '--output-format', 'stream-json', '--verbose'));
  const used = events.flatMap(({ type, message }) => (type === 'assistant' ? message.content : []));
  assert.deepEqual(
    used.flatMap(({ type, name }) => (type === 'tool_use' ? [name] : [])),
    ['ToolSearch'],
  );
  assert.match(events.at(-1).result, /NotebookEdit/);
});
