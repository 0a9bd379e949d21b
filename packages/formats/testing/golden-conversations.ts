// Conversations with the text that a reference encoder makes of them.
//
// Owns how the files under test/golden/encodings are read: the messages in the shape of DeepSeek's wire, the options and
// the text. Never used outside tests.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Effort } from '../chat/dialect.ts';
import { type ChatMessage, type JsonValue, type QuickTask, type ToolSchema, withTools } from '../chat/message.ts';

const goldens = join(import.meta.dirname, '../../../test/golden/encodings');

interface WireMessage {
  role: ChatMessage['role'];
  content?: string;
  reasoning_content?: string;
  tools?: { function: ToolSchema }[];
  tool_calls?: { id?: string; function: { name: string; arguments: string } }[];
  tool_call_id?: string;
  response_format?: JsonValue;
  task?: QuickTask;
}

interface Golden {
  messages: WireMessage[];
  tools?: { function: ToolSchema }[];
  thinking_mode: 'thinking' | 'chat';
  reasoning_effort?: Effort | null;
}

export interface GoldenConversation {
  readonly messages: readonly ChatMessage[];
  readonly thinking: boolean;
  readonly effort?: Effort;
  readonly text: string;
}

export function goldenNames(dialect: string): string[] {
  return readdirSync(join(goldens, dialect)).filter((name) => name.endsWith('.json'));
}

export function readGolden(dialect: string, name: string): GoldenConversation {
  const path = (file: string) => join(goldens, dialect, file);
  const json: Golden | WireMessage[] = JSON.parse(readFileSync(path(name), 'utf8'));
  const text = readFileSync(path(name.replace('input', 'output').replace('.json', '.txt')), 'utf8');
  // The four files of V4's own test leave the mode to the test: the fourth is chat, the others think.
  if (Array.isArray(json)) return { messages: json.map(fromWire), thinking: name !== 'test_input_4.json', text };
  const messages = withTools(
    json.messages.map(fromWire),
    (json.tools ?? []).map((tool) => tool.function),
  );
  const effort = json.reasoning_effort && { effort: json.reasoning_effort };
  return { messages, thinking: json.thinking_mode !== 'chat', ...effort, text };
}

function fromWire(wire: WireMessage): ChatMessage {
  const content = wire.content ?? '';
  const tools = wire.tools && { tools: wire.tools.map((tool) => tool.function) };
  const responseFormat = wire.response_format === undefined ? {} : { responseFormat: wire.response_format };
  const task = wire.task && { task: wire.task };
  switch (wire.role) {
    case 'tool':
      return { role: 'tool', content, toolCallId: wire.tool_call_id ?? '' };
    case 'assistant': {
      const toolCalls = (wire.tool_calls ?? []).map(({ id = '', function: call }) => ({ id, ...call }));
      return { role: 'assistant', content, reasoning: wire.reasoning_content ?? '', toolCalls, ...task };
    }
    case 'user':
      return { role: 'user', content, ...task };
    default:
      return { role: wire.role, content, ...tools, ...responseFormat };
  }
}
