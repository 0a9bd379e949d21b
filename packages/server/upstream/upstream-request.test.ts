import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChatRequest } from '@hadal/protocol/chat-request';
import type { CompletionRequest } from '@hadal/protocol/completions-request';
import { chatRequest } from '../testing/fake-upstream.ts';
import { type Flavour, flavours, traitsIn } from './upstream-flavour.ts';
import { chatBody, completionBody } from './upstream-request.ts';

// biome-ignore lint/suspicious/noExplicitAny: bodies are looked into
type Body = any;

const body = (flavour: Flavour, changes: Partial<ChatRequest> = {}): Body =>
  chatBody(chatRequest(changes), { name: 'M', flavour, fillMiddle: undefined, contextWindow: 4096 });
const completion = (flavour: Flavour, changes: Partial<CompletionRequest> = {}, fillMiddle?: 'tokens'): Body => {
  const { messages, ...sampling } = chatRequest();
  const request = { ...sampling, prompt: 'a', suffix: undefined, echo: false, ...changes };
  return completionBody(request, { name: 'M', flavour, fillMiddle, contextWindow: undefined });
};
const tool = { name: 'f', description: undefined, parameters: { type: 'object' }, isStrict: true };

test('each flavour is told to think, or not to, in its own way', () => {
  const ways = (thinking: ChatRequest['thinking']) =>
    flavours.map((flavour) => {
      const { thinking: type, reasoning_effort: effort, chat_template_kwargs: template } = body(flavour, { thinking });
      if (template) assert.equal(template.enable_thinking, template.thinking);
      return type ? [type.type, effort] : template ? [template.thinking, template.reasoning_effort] : [];
    });
  assert.equal(body('vllm', { thinking: 'max' }).reasoning_effort, 'max');
  assert.equal(body('llama-server', { thinking: 'max' }).reasoning_effort, undefined);
  const template = (...way: unknown[]) => [way, way, way, way];
  assert.deepEqual(ways('off'), [...template(false, undefined), ['disabled', undefined], ['disabled', undefined], []]);
  assert.deepEqual(ways('high'), [...template(true, undefined), ['enabled', 'high'], ['enabled', 'high'], []]);
  assert.deepEqual(ways('max'), [...template(true, 'max'), ['enabled', 'max'], ['enabled', 'max'], []]);
});

test('what a flavour cannot do is refused with the name of the field, and never left out in silence', () => {
  const prefix = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b', reasoning: '', toolCalls: [], isPrefix: true },
  ] as const;
  const wants: Record<string, Partial<ChatRequest>> = {
    top_k: { topK: 5 },
    min_p: { minP: 0.1 },
    logit_bias: { logitBias: [[3, 1]] },
    logprobs: { topLogprobs: 2 },
    json: { responseFormat: { type: 'json-object' } },
    schema: { responseFormat: { type: 'json-schema', schema: {}, isStrict: false } },
    regex: { responseFormat: { type: 'regex', pattern: 'a+' } },
    choice: { responseFormat: { type: 'choice', options: ['a', 'b"'] } },
    prefix: { messages: prefix },
    required: { tools: [tool], toolChoice: { type: 'required' } },
  };
  const refused = Object.fromEntries(
    flavours.map((flavour) => [
      flavour,
      Object.entries(wants).flatMap(([name, want]) => {
        try {
          body(flavour, want);
          return [];
        } catch (error) {
          assert.match((error as Error).message, /: the server behind this model does not take /);
          return [name];
        }
      }),
    ]),
  );
  assert.deepEqual(refused, {
    vllm: [],
    sglang: [],
    'llama-server': ['regex'],
    transformers: ['top_k', 'min_p', 'logprobs', 'json', 'schema', 'regex', 'choice', 'prefix', 'required'],
    deepseek: ['top_k', 'min_p', 'logit_bias', 'schema', 'regex', 'choice'],
    hadal: [],
    openai: ['top_k', 'min_p', 'regex', 'choice', 'prefix'],
  });
});

test('forms of an answer have the names that each flavour knows', () => {
  const responseFormat = { type: 'choice', options: ['a.', 'b"'] } as const;
  assert.deepEqual(body('vllm', { responseFormat }).structured_outputs, { choice: ['a.', 'b"'] });
  assert.equal(body('sglang', { responseFormat }).regex, '(a\\.|b")');
  assert.equal(body('llama-server', { responseFormat }).grammar, 'root ::= "a." | "b\\""');
  const schema = { responseFormat: { type: 'json-schema', schema: { type: 'object' }, isStrict: true } } as const;
  for (const flavour of ['vllm', 'sglang', 'llama-server', 'hadal', 'openai'] as const) {
    assert.deepEqual(body(flavour, schema).response_format, {
      ...{ type: 'json_schema', json_schema: { name: 'answer', schema: { type: 'object' }, strict: true } },
    });
  }
});

test('a limit that was asked for is told, and the usual one only where it surely fits', () => {
  const limit = (tokens: number, content: string, type: 'asked' | 'default') =>
    body('vllm', { maxTokens: { type, tokens }, messages: [{ role: 'user', content }] }).max_tokens;
  assert.equal(limit(4000, 'a'.repeat(200), 'asked'), 4000);
  assert.equal(limit(4000, 'a'.repeat(200), 'default'), undefined);
  assert.equal(limit(3000, 'a'.repeat(200), 'default'), 3000);
  assert.equal(body('vllm', { maxTokens: { type: 'asked', tokens: 10 }, maxReasoning: 100 }).max_tokens, 110);
});

test('what a caller has named keeps its cache apart, where the flavour can', () => {
  const keys = flavours.map((flavour) => {
    const { user_id, cache_salt, user } = body(flavour, { userId: 'eva' });
    return [user_id, cache_salt, user].filter(Boolean).length;
  });
  assert.deepEqual(keys, [1, 1, 0, 0, 1, 1, 0]);
  assert.equal('cache_salt' in body('vllm'), false);
});

test('earlier turns go along with their calls, and with their reasoning where it is understood', () => {
  const messages = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: '', reasoning: 'hm', toolCalls: [{ id: '1', name: 'f', arguments: '{}' }] },
    { role: 'tool', content: 'b', toolCallId: '1' },
  ] as const;
  const [, turn] = body('vllm', { messages }).messages;
  assert.deepEqual(turn, {
    ...{ role: 'assistant', content: null, reasoning_content: 'hm' },
    tool_calls: [{ id: '1', type: 'function', function: { name: 'f', arguments: '{}' } }],
  });
  assert.equal(body('openai', { messages }).messages[1].reasoning_content, undefined);
});

test('another Hadal is told what only it understands', () => {
  const asked = body('hadal', {
    ...{ priority: 'batch', prediction: 'text' },
    speculation: { method: 'ngram', draftTokens: 4 },
  });
  assert.equal(asked.service_tier, 'flex');
  assert.deepEqual(asked.speculative, { method: 'ngram', num_draft_tokens: 4 });
  assert.deepEqual(asked.prediction, { type: 'content', content: 'text' });
  const { service_tier, speculative, prediction } = body('vllm', { priority: 'batch', prediction: 'text' });
  assert.deepEqual([service_tier, speculative, prediction], [undefined, undefined, undefined]);
});

test('a gap is filled by the field, by tokens where the configuration says so, or not at all', () => {
  assert.equal(completion('deepseek', { suffix: 'z' }).suffix, 'z');
  assert.throws(() => completion('vllm', { suffix: 'z' }), /^RequestError: suffix: the server behind/);
  const { prompt, suffix } = completion('vllm', { suffix: 'z' }, 'tokens');
  assert.deepEqual([prompt, suffix], ['<｜fim▁begin｜>a<｜fim▁hole｜>z<｜fim▁end｜>', undefined]);
  assert.throws(() => completion('llama-server', { echo: true }), /^RequestError: echo: /);
});

test('a list of models shows whose it is', () => {
  const list = (...owners: string[]) => ({ data: owners.map((owned_by, i) => ({ id: `m${i}`, owned_by })) });
  assert.equal(traitsIn(list('vllm'), 'm').flavour, 'vllm');
  assert.equal(traitsIn(list('other', 'hadal'), 'm1').flavour, 'hadal');
  assert.equal(traitsIn({ data: [{ id: 'm', max_model_len: 9 }] }, 'm').contextWindow, 9);
  assert.equal(traitsIn({ data: [{ id: 'm', context_window: 9 }] }, 'm').contextWindow, 9);
  for (const odd of [undefined, [], { data: 3 }, { data: [null] }, list('library')]) {
    assert.deepEqual(traitsIn(odd, 'm'), { flavour: 'openai', contextWindow: undefined });
  }
});
