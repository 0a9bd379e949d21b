import assert from 'node:assert/strict';
import { test } from 'node:test';
import { beginOfSentence, endOfSentence } from '../special-tokens.ts';
import { r1Template, v2Template, v31Template } from '../testing/chat-templates.ts';
import type { ChatTemplate } from './chat-template.ts';
import { type ChatDialect, parseAnswer, promptText } from './dialect.ts';
import { openJinjaDialect } from './jinja-dialect.ts';
import type { AssistantMessage, ChatMessage, ToolSchema } from './message.ts';

const templateOf = (source: string, more: Partial<ChatTemplate> = {}): ChatTemplate => ({
  where: 'tokenizer_config.json: chat_template',
  source,
  toolSource: undefined,
  bosToken: beginOfSentence,
  eosToken: endOfSentence,
  addsBos: true,
  ...more,
});
const v2 = openJinjaDialect(templateOf(v2Template));
const r1 = openJinjaDialect(templateOf(r1Template()));
const v31 = openJinjaDialect(templateOf(v31Template));

const question: ChatMessage = { role: 'user', content: 'q' };
const weather: ToolSchema = { name: 'weather', description: 'Of a city', parameters: { type: 'object' } };
const calling: AssistantMessage = {
  role: 'assistant',
  content: '',
  toolCalls: [
    { id: '1', name: 'weather', arguments: '{"city": "Paris"}' },
    { id: '2', name: 'weather', arguments: '{"city": "杭州"}' },
  ],
};

function textOf(dialect: ChatDialect, messages: readonly ChatMessage[], thinking = true): string {
  return promptText(dialect.prompt(messages, { thinking })).replace(beginOfSentence, '^');
}

test('a prompt that opens the reasoning is seen to, and the answer begins with reasoning', () => {
  const { segments, beginning } = r1.prompt([question], { thinking: true });
  assert.deepEqual(segments, [{ text: `${beginOfSentence}<｜User｜>q<｜Assistant｜><think>\n`, isOutput: false }]);
  assert.equal(beginning, 'reasoning');
  assert.equal(v31.prompt([question], { thinking: true }).beginning, 'reasoning');
  assert.equal(v2.prompt([question], { thinking: true }).beginning, 'content');
});

test('without thinking, a template with a switch is switched, and one without is given an empty thought', () => {
  assert.equal(textOf(v31, [question], true), '^<｜User｜>q<｜Assistant｜><think>');
  assert.equal(textOf(v31, [question], false), '^<｜User｜>q<｜Assistant｜></think>');
  assert.equal(textOf(r1, [question], false), '^<｜User｜>q<｜Assistant｜><think>\n\n</think>\n\n');
  assert.equal(r1.prompt([question], { thinking: false }).beginning, 'content');
  assert.equal(textOf(v2, [question], false), '^User: q\n\nAssistant:');
});

test("R1's first template, which leaves the thinking to the model, is made to open it", () => {
  const first = openJinjaDialect(templateOf(r1Template('')));
  for (const thinking of [true, false]) {
    assert.equal(textOf(first, [question], thinking), textOf(r1, [question], thinking));
  }
  assert.equal(first.prompt([question], { thinking: true }).beginning, 'reasoning');
});

test('the begin token stands there once, whether the template writes it or not', () => {
  const bare = openJinjaDialect(templateOf('{{ messages[0].content }}'));
  assert.equal(textOf(bare, [question]), '^q');
  assert.equal(textOf(openJinjaDialect(templateOf('{{ messages[0].content }}', { addsBos: false })), [question]), 'q');
  assert.equal(textOf(v2, [question]).lastIndexOf('^'), 0);
});

test('past reasoning does not come back', () => {
  const past: ChatMessage = { role: 'assistant', content: 'a', reasoning: 'because' };
  for (const dialect of [r1, v31, v2]) assert.ok(!textOf(dialect, [question, past, question]).includes('because'));
  assert.equal(
    textOf(r1, [question, past, question]),
    `^<｜User｜>q<｜Assistant｜>a${endOfSentence}<｜User｜>q<｜Assistant｜><think>\n`,
  );
});

test('a last message of the assistant is the output, as the model would have written it', () => {
  const said: AssistantMessage = { role: 'assistant', content: 'a', reasoning: 'so' };
  const outputOf = (dialect: ChatDialect, message: AssistantMessage, thinking = true) =>
    dialect.prompt([question, message], { thinking }).segments.at(-1);
  assert.deepEqual(outputOf(r1, said), { text: `so\n</think>\n\na${endOfSentence}`, isOutput: true });
  assert.deepEqual(outputOf(v31, said), { text: `so</think>a${endOfSentence}`, isOutput: true });
  assert.deepEqual(outputOf(r1, said, false), { text: `a${endOfSentence}`, isOutput: true });
  assert.equal(outputOf(r1, { ...said, content: '', isPrefix: true })?.text, 'so');
  assert.equal(outputOf(r1, { ...said, isPrefix: true })?.text, 'so\n</think>\n\na');
});

test('what a dialect writes as output, its parser reads back', () => {
  const message: AssistantMessage = { ...calling, content: 'Let me see.', reasoning: 'two cities' };
  for (const dialect of [r1, v31]) {
    for (const thinking of [true, false]) {
      const { segments, beginning } = dialect.prompt([question, message], { thinking });
      const output = segments.at(-1)?.text.replace(endOfSentence, '') ?? '';
      const { content, reasoning, toolCalls } = parseAnswer(dialect.openParser(beginning), output);
      assert.equal(content, message.content);
      assert.equal(reasoning, thinking ? message.reasoning : '');
      assert.deepEqual(
        toolCalls,
        message.toolCalls?.map((call) => ({ ...call, id: '' })),
      );
    }
  }
});

test('calls and results of the history reach the template in the form it expects', () => {
  const results: ChatMessage[] = ['sunny', 'rain'].map((content) => ({ role: 'tool', content, toolCallId: '1' }));
  assert.equal(
    textOf(r1, [question, calling, ...results]),
    '^<｜User｜>q<｜Assistant｜><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n' +
      '{"city": "Paris"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n' +
      '{"city": "杭州"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜><｜tool▁outputs▁begin｜>' +
      '<｜tool▁output▁begin｜>sunny<｜tool▁output▁end｜>\n<｜tool▁output▁begin｜>rain<｜tool▁output▁end｜>' +
      '<｜tool▁outputs▁end｜>',
  );
  assert.equal(
    textOf(v31, [question, calling, ...results]),
    '^<｜User｜>q<｜Assistant｜></think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{"city": "Paris"}' +
      '<｜tool▁call▁end｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{"city": "杭州"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>' +
      '<｜end▁of▁sentence｜><｜tool▁output▁begin｜>sunny<｜tool▁output▁end｜><｜tool▁output▁begin｜>rain<｜tool▁output▁end｜>',
  );
});

test('where a template would lose calls beside content, the calls are what stays', () => {
  const both: AssistantMessage = { ...calling, content: 'Let me see.' };
  const after: ChatMessage[] = [both, { role: 'tool', content: 'sunny', toolCallId: '1' }];
  assert.ok(textOf(r1, [question, ...after]).includes('"Paris"'));
  assert.ok(textOf(v31, [question, ...after]).includes('Let me see.<｜tool▁calls▁begin｜>'));
});

test('a turn that is known as it was written stands in the prompt like that, with what opened it, as long as the user has not gone on', () => {
  const text = 'hm\n</think>\n\nLet me see. <｜tool▁calls▁begin｜>odd<｜tool▁calls▁end｜>';
  const result: ChatMessage = { role: 'tool', content: 'sunny', toolCallId: '1' };
  const written = (thinking: boolean) =>
    ({
      ...calling,
      written: thinking
        ? { text, beginning: 'reasoning' }
        : { text: text.slice(text.indexOf('Let')), beginning: 'content' },
    }) satisfies AssistantMessage;
  for (const [dialect, thinking, stays] of [
    [r1, true, false],
    [r1, false, false],
    [v31, false, true],
  ] as const) {
    const turn = written(thinking);
    const before = textOf(dialect, [question], thinking);
    const after = textOf(dialect, [question, turn, result], thinking);
    assert.ok(after.startsWith(`${before}${turn.written.text}${endOfSentence}<｜tool▁output`), after);
    // Twice in one conversation.
    const again = textOf(dialect, [question, turn, result, written(false), result], thinking);
    assert.ok(again.startsWith(`${after}${written(false).written.text}${endOfSentence}`), again);
    const later = textOf(dialect, [question, turn, result, question], thinking);
    assert.equal(later.includes('odd'), stays);
    // Where it does not begin as it did then, it is rendered.
    assert.ok(!textOf(dialect, [question, written(!thinking), result], thinking).includes('odd'));
  }
  // V3.1 never shows what was thought.
  assert.ok(!textOf(v31, [question, written(true), result], true).includes('odd'));
  // A text that looks like the place of the turn spoils it.
  const spoiled = textOf(v31, [{ role: 'user', content: '\ue0001\ue001' }, written(false), result], false);
  assert.ok(!spoiled.includes('odd') && spoiled.includes('"Paris"'));
});

test('a template that wants arguments as an object gets one', () => {
  const source = `{% for m in messages %}{% for c in m.tool_calls or [] %}<｜tool▁sep｜>{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}`;
  const dialect = openJinjaDialect(templateOf(source));
  assert.equal(
    textOf(dialect, [question, calling, question]),
    '^<｜tool▁sep｜>{"city": "Paris"}<｜tool▁sep｜>{"city": "杭州"}',
  );
});

test('tools that the template does not show are described in the system message, in the form it calls them', () => {
  const prompt = (dialect: ChatDialect, messages: ChatMessage[]) =>
    promptText(dialect.prompt(messages, { thinking: true, tools: [weather] }));
  const text = prompt(v31, [{ role: 'system', content: 'Be brief.' }, question]);
  assert.ok(
    text.startsWith(
      `${beginOfSentence}Be brief.\n\n## Tools\nYou have access to the following tools:\n\n### weather\n` +
        'Description: Of a city\n\nParameters: {"type": "object"}\n\nIMPORTANT: ',
    ),
  );
  assert.ok(text.includes('<｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>'));
  assert.ok(prompt(r1, [question]).includes('function<｜tool▁sep｜>tool_call_name\n```json\ntool_call_arguments\n```'));
});

test('a template that shows tools itself is handed them, by the template for tools where there is one', () => {
  const shows = `{{ bos_token }}{% for t in tools or [] %}[{{ t.function.name }}]{% endfor %}<｜tool▁sep｜>`;
  for (const template of [templateOf(shows), templateOf('{{ bos_token }}none', { toolSource: shows })]) {
    const dialect = openJinjaDialect(template);
    assert.equal(dialect.calls.type, 'opened');
    const text = promptText(dialect.prompt([question], { thinking: true, tools: [weather] }));
    assert.equal(text, `${beginOfSentence}[weather]<｜tool▁sep｜>`);
  }
  assert.equal(v2.calls.type, 'none');
});

test('a forced call opens in the form that the parser reads', () => {
  for (const [dialect, rest] of [
    [r1, '{"a": 1}\n```<｜tool▁call▁end｜>'],
    [v31, '{"a": 1}<｜tool▁call▁end｜>'],
  ] as const) {
    assert.ok(dialect.calls.type === 'opened');
    const { opening } = dialect.calls;
    const { toolCalls } = parseAnswer(dialect.openParser('content'), opening('f') + rest);
    assert.deepEqual(toolCalls, [{ id: '', name: 'f', arguments: '{"a": 1}' }]);
    assert.ok(opening('f').startsWith(opening(undefined)));
  }
});

test('a template that cannot be run is refused in one line when it is opened', () => {
  for (const source of ['{% if %}', "{{ raise_exception('no') }}", '{{ messages | nonsense }}']) {
    assert.throws(
      () => openJinjaDialect(templateOf(source)),
      /^(Template)?Error: tokenizer_config\.json: chat_template: expected a Jinja template that we can run, [^\n]+$/,
    );
  }
});
