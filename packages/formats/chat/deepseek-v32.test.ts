import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goldenNames, readGolden } from '../testing/golden-conversations.ts';
import { deepseekV32 } from './deepseek-v32.ts';
import { promptText } from './dialect.ts';
import type { AssistantMessage, ChatMessage } from './message.ts';

const names = goldenNames('deepseek-v32');

test('there are four golden conversations', () => {
  assert.equal(names.length, 4);
});

for (const name of names) {
  test(`the reference's text is reproduced exactly: ${name}`, () => {
    const { messages, text, ...options } = readGolden('deepseek-v32', name);
    assert.equal(promptText(deepseekV32.prompt(messages, options)), text);
  });
}

test('tools of the request stand in the system message, made for them where there is none', () => {
  const tools = [{ name: 'f' }];
  const text = promptText(deepseekV32.prompt([{ role: 'user', content: 'q' }], { thinking: false, tools }));
  assert.match(text, /^<｜begin▁of▁sentence｜>\n\n## Tools\n.*<functions>\n{"name": "f"}\n<\/functions>\n<｜User｜>q/s);
});

test('the assistant wrote what follows the tag that opens its turn', () => {
  const messages: ChatMessage[] = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'A', reasoning: 'because a' },
    { role: 'user', content: 'b' },
    { role: 'assistant', content: 'B', reasoning: 'because b' },
  ];
  assert.deepEqual(deepseekV32.prompt(messages, { thinking: true }).segments, [
    { text: '<｜begin▁of▁sentence｜><｜User｜>a<｜Assistant｜></think>', isOutput: false },
    { text: 'A<｜end▁of▁sentence｜>', isOutput: true },
    { text: '<｜User｜>b<｜Assistant｜><think>', isOutput: false },
    { text: 'because b</think>B<｜end▁of▁sentence｜>', isOutput: true },
  ]);
});

test('a prefix is left open, in its reasoning or in its content', () => {
  const open: AssistantMessage = { role: 'assistant', content: '', reasoning: 'so', isPrefix: true };
  const text = (message: AssistantMessage) =>
    promptText(deepseekV32.prompt([{ role: 'user', content: 'q' }, message], { thinking: true }));
  assert.ok(text(open).endsWith('<think>so'));
  assert.ok(text({ ...open, content: 'It' }).endsWith('so</think>It'));
});
