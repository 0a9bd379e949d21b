import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeMessages } from './deepseek-v4.ts';
import { deepseekV41 } from './deepseek-v41.ts';
import { type PromptOptions, promptText } from './dialect.ts';
import type { AssistantMessage, ChatMessage } from './message.ts';

const hello: ChatMessage = { role: 'user', content: 'hello' };
const helpful: ChatMessage = { role: 'system', content: 'You are a helpful assistant.' };
const calm = { thinking: false };

function textOf(messages: readonly ChatMessage[], options: PromptOptions = { thinking: true }): string {
  return promptText(deepseekV41.prompt(messages, options));
}

test("the reference's texts are reproduced exactly", () => {
  assert.equal(textOf([hello], calm), '<｜begin▁of▁sentence｜><｜User｜>hello<｜Assistant｜></think>');
  assert.equal(
    textOf([helpful, hello], calm),
    '<｜begin▁of▁sentence｜><｜System｜>You are a helpful assistant.<｜User｜>hello<｜Assistant｜></think>',
  );
  assert.equal(
    textOf([hello]),
    '<｜begin▁of▁sentence｜><｜System｜>Reasoning Effort: 50 (range 1-100, the higher the value, the more thorough the ' +
      'reasoning)\n\n<｜User｜>hello<｜Assistant｜><think>',
  );
});

test('a thinking model is told its effort once, first, in the turn of the system', () => {
  const effort = (level: 'low' | 'high' | 'max', thinking = true) =>
    /Reasoning Effort: \d+/g.exec(textOf([helpful, hello, helpful], { thinking, effort: level }))?.[0];
  assert.equal(effort('low'), 'Reasoning Effort: 25');
  assert.equal(effort('high'), 'Reasoning Effort: 50');
  assert.equal(effort('max'), 'Reasoning Effort: 100');
  assert.equal(effort('max', false), undefined);
  const text = textOf([helpful, hello, helpful]);
  assert.match(
    text,
    /^<｜begin▁of▁sentence｜><｜System｜>Reasoning Effort: 50 .*\n\nYou are a helpful assistant\.<｜User｜>/,
  );
  assert.equal(text.split('Reasoning Effort').length, 2);
});

test('a system message in mid-conversation is opened by its token and answered like a user', () => {
  const said: ChatMessage = { role: 'assistant', content: 'a1', reasoning: 'r1' };
  const later: ChatMessage = { role: 'system', content: 'Be brief.' };
  const text = textOf([helpful, hello, said, later]);
  assert.ok(
    text.endsWith(
      '<｜User｜>hello<｜Assistant｜></think>a1<｜end▁of▁sentence｜><｜System｜>Be brief.<｜Assistant｜><think>',
    ),
    text,
  );
  assert.ok(textOf([hello, later], calm).endsWith('<｜User｜>hello<｜System｜>Be brief.<｜Assistant｜></think>'));
  // It is the user's turn only when nothing else follows.
  assert.ok(textOf([hello, later, hello], calm).endsWith('Be brief.<｜User｜>hello<｜Assistant｜></think>'));
  assert.ok(textOf([helpful], calm).endsWith('assistant.'));
});

test('tools and calls are written with a space in every tag, and otherwise as V4 writes them', () => {
  const calling: AssistantMessage = {
    role: 'assistant',
    content: 'One moment.',
    toolCalls: [{ id: '1', name: 'f', arguments: '{"a": "b", "n": [1]}' }],
  };
  const messages: ChatMessage[] = [hello, calling, { role: 'tool', content: 'r', toolCallId: '1' }];
  const tools = [{ name: 'f' }];
  const text = textOf(messages, { ...calm, tools });
  assert.ok(
    text.includes(
      'One moment.\n\n<｜DSML｜ calls>\n<｜DSML｜ invoke name="f">\n<｜DSML｜ parameter name="a" string="true">b' +
        '</｜DSML｜ parameter>\n<｜DSML｜ parameter name="n" string="false">[1]</｜DSML｜ parameter>\n' +
        '</｜DSML｜ invoke>\n</｜DSML｜ calls><｜end▁of▁sentence｜><｜User｜><tool_result>r</tool_result>',
    ),
    text,
  );
  assert.ok(text.startsWith('<｜begin▁of▁sentence｜><｜System｜>\n\n## Tools\n\n'));
  const withTool: ChatMessage[] = [{ role: 'system', content: '', tools }, ...messages];
  assert.equal(
    text
      .replace('<｜System｜>', '')
      .replaceAll('｜ calls>', '｜tool_calls>')
      .replaceAll('｜ invoke', '｜invoke')
      .replaceAll('｜ parameter', '｜parameter'),
    encodeMessages(withTool, calm),
  );
});
