import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trainBpe } from '../bpe-trainer.ts';
import { goldenNames, readGolden } from '../testing/golden-conversations.ts';
import { makeTokenizer } from '../tokenizer.ts';
import { encodeMessages, renderConversation } from './deepseek-v4.ts';
import { type ChatMessage, type ToolCall, withTools } from './message.ts';

const names = goldenNames('deepseek-v4');
const golden = (name: string) => readGolden('deepseek-v4', name);

test('there are ten golden conversations', () => {
  assert.equal(names.length, 10);
});

for (const name of names) {
  test(`the reference's text is reproduced exactly: ${name}`, () => {
    const { text, messages, ...options } = golden(name);
    assert.equal(encodeMessages(messages, options), text);
  });
}

const conversation: ChatMessage[] = [
  { role: 'user', content: 'a' },
  { role: 'assistant', content: 'A', reasoning: 'because a' },
  { role: 'user', content: 'b' },
  { role: 'assistant', content: 'B', reasoning: 'because b' },
];

test('output segments are what the assistant generates, from its first character to the end of the sentence', () => {
  assert.deepEqual(renderConversation(conversation, { thinking: true }), [
    { text: '<｜begin▁of▁sentence｜><｜User｜>a<｜Assistant｜></think>', isOutput: false },
    { text: 'A<｜end▁of▁sentence｜>', isOutput: true },
    { text: '<｜User｜>b<｜Assistant｜><think>', isOutput: false },
    { text: 'because b</think>B<｜end▁of▁sentence｜>', isOutput: true },
  ]);
});

test('segments can be turned into tokens one by one: their borders are special tokens', () => {
  const texts = names.map((name) => golden(name).text);
  const tokenizer = makeTokenizer(trainBpe({ texts, vocabularySize: 500 }), 'trained');
  for (const name of names) {
    const { text, messages, ...options } = golden(name);
    const segments = renderConversation(messages, options);
    assert.deepEqual(
      segments.flatMap((segment) => tokenizer.encode(segment.text)),
      tokenizer.encode(text),
    );
  }
});

test('in chat mode no turn keeps reasoning', () => {
  const outputs = renderConversation(conversation, { thinking: false }).filter((segment) => segment.isOutput);
  assert.deepEqual(
    outputs.map((segment) => segment.text),
    ['A<｜end▁of▁sentence｜>', 'B<｜end▁of▁sentence｜>'],
  );
});

test('past reasoning stays when any message has tools, or on request', () => {
  const withTool = withTools(conversation, [{ name: 'f' }]);
  assert.ok(!encodeMessages(conversation, { thinking: true }).includes('because a'));
  for (const kept of [
    encodeMessages(conversation, { thinking: true, keepReasoning: true }),
    encodeMessages(withTool, { thinking: true }),
  ]) {
    assert.ok(kept.includes('<think>because a</think>A'));
  }
});

test('a prefix is left open: in its reasoning when there is no content yet, else in its content', () => {
  const question: ChatMessage = { role: 'user', content: 'q' };
  const open: ChatMessage = { role: 'assistant', content: '', reasoning: 'so', isPrefix: true };
  assert.ok(encodeMessages([question, open], { thinking: true }).endsWith('<think>so'));
  assert.ok(encodeMessages([question, { ...open, content: 'It' }], { thinking: true }).endsWith('so</think>It'));
  assert.ok(encodeMessages([question, { ...open, content: 'It' }], { thinking: false }).endsWith('</think>It'));
});

test('arguments that are not the JSON of an object stand whole as one string parameter', () => {
  for (const broken of ['{"a": 1', '[1]', '5', 'null']) {
    const calls: ToolCall[] = [{ id: '1', name: 'f', arguments: broken }];
    const text = encodeMessages([{ role: 'assistant', content: '', toolCalls: calls }], { thinking: false });
    assert.ok(text.includes(`<｜DSML｜parameter name="arguments" string="true">${broken}</｜DSML｜parameter>`));
  }
});

test('the effort text follows the begin token, only with thinking, in the words of the chosen checkpoint', () => {
  const messages: ChatMessage[] = [{ role: 'user', content: 'q' }];
  const start = (options: Parameters<typeof encodeMessages>[1]) => encodeMessages(messages, options).slice(21, 60);
  assert.equal(start({ thinking: true, effort: 'high' }), '<｜User｜>q<｜Assistant｜><think>');
  assert.equal(start({ thinking: false, effort: 'max' }), '<｜User｜>q<｜Assistant｜></think>');
  assert.match(start({ thinking: true, effort: 'high', effortDialect: 'release' }), /^Reasoning Effort: Absolute/);
  assert.match(start({ thinking: true, effort: 'max', effortDialect: 'release' }), /^Reasoning Effort: Beyond/);
});

test('a format for the answer is shown after the tools', () => {
  const messages = withTools([{ role: 'system', content: 's' }], [{ name: 'f' }], { type: 'object' });
  const text = encodeMessages(messages, { thinking: false });
  const ending =
    'invoke tool calls.\n\n\n## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n{"type": "object"}';
  assert.ok(text.endsWith(ending));
  assert.ok(text.includes('\n\n{"name": "f"}\n\n'));
});

test('quick tasks ask by their token, and their results are output without reasoning', () => {
  const segments = renderConversation(
    [
      { role: 'user', content: 'q', task: 'query' },
      { role: 'assistant', content: 'words' },
    ],
    { thinking: true },
  );
  assert.deepEqual(segments, [
    { text: '<｜begin▁of▁sentence｜><｜User｜>q<｜query｜>', isOutput: false },
    { text: 'words<｜end▁of▁sentence｜>', isOutput: true },
  ]);
});
