// The chat encoding of DeepSeek-V3.2: a conversation to the text that the model reads.
//
// Owns the rules of DeepSeek's `encoding_dsv32.py`, V4's predecessor: tool results stand in a block of their own, every
// user turn opens the answer at once, and past reasoning is always dropped. Knows nothing about token ids or sampling.
// Which characters the assistant wrote is told as for every dialect.

import {
  assistantTurn,
  beginOfSentence,
  dsml,
  endOfSentence,
  thinkBegin,
  thinkEnd,
  userTurn,
} from '../special-tokens.ts';
import type { ChatDialect, Segment } from './dialect.ts';
import { callsText, responseFormatText } from './dsml.ts';
import { DsmlParser } from './dsml-parser.ts';
import {
  type AssistantMessage,
  type ChatMessage,
  type DeveloperMessage,
  type SystemMessage,
  type ToolMessage,
  type ToolSchema,
  withTools,
} from './message.ts';
import { pythonJson } from './python-json.ts';

const callsTag = 'function_calls';

export const deepseekV32: ChatDialect = {
  stopTokens: [endOfSentence],
  calls: { type: 'dsml', tag: callsTag },
  reserved: [],
  prompt: (messages, { thinking, tools = [] }) => ({
    segments: renderConversation(withTools(messages, tools), thinking),
    beginning: thinking ? 'reasoning' : 'content',
  }),
  openParser: (beginning, calls) => new DsmlParser(beginning, calls),
};

/** Segments as `deepseek-v4` divides them: an output begins after the `<think>` or `</think>` that opens its turn. */
function renderConversation(messages: readonly ChatMessage[], thinking: boolean): Segment[] {
  const turns = thinking ? dropPastDevelopers(messages) : messages;
  const lastUser = turns.findLastIndex(isUserTurn);
  const segments: Segment[] = [];
  let prompt = beginOfSentence;
  turns.forEach((turn, index) => {
    if (turn.role !== 'assistant') {
      prompt += turnText(turn, turns, index, thinking && index >= lastUser ? thinkBegin : thinkEnd);
      return;
    }
    const output = assistantText(turn, thinking && index > lastUser);
    segments.push({ text: prompt, isOutput: false }, { text: output, isOutput: true });
    prompt = '';
  });
  if (prompt !== '') segments.push({ text: prompt, isOutput: false });
  return segments;
}

function isUserTurn({ role }: ChatMessage): boolean {
  return role === 'user' || role === 'developer';
}

/** Where reasoning is dropped, so are the developer messages before the last user turn. */
function dropPastDevelopers(messages: readonly ChatMessage[]): ChatMessage[] {
  const lastUser = messages.findLastIndex(isUserTurn);
  return messages.filter((message, index) => message.role !== 'developer' || index >= lastUser);
}

/** `opening` stands where the model goes on after this turn. */
function turnText(
  turn: Exclude<ChatMessage, AssistantMessage>,
  turns: readonly ChatMessage[],
  index: number,
  opening: string,
): string {
  switch (turn.role) {
    case 'system':
      return turn.content + appendix(turn);
    case 'developer':
      return `${userTurn}${appendix(turn)}\n\n# The user's message is: ${turn.content}${assistantTurn}${opening}`;
    case 'user':
      return userTurn + turn.content + assistantTurn + opening;
    case 'tool':
      return resultText(turn, turns, index, opening);
    case 'latest_reminder':
      throw new Error('latest_reminder: expected a role that DeepSeek-V3.2 knows');
    default:
      return unreachable(turn);
  }
}

/** One result of a block: the first opens it, and that of the last call closes it. */
function resultText(turn: ToolMessage, turns: readonly ChatMessage[], index: number, opening: string): string {
  const caller = turns.findLastIndex(({ role }, i) => i < index && role !== 'tool');
  const calls = turns[caller]?.role === 'assistant' ? (turns[caller].toolCalls ?? []).length : 0;
  const place = index - caller;
  const begin = place === 1 ? '\n\n<function_results>' : '';
  const end = place === Math.max(calls, 1) ? `\n</function_results>\n\n${opening}` : '';
  return `${begin}\n<result>${turn.content}</result>${end}`;
}

function appendix({ tools = [], responseFormat }: SystemMessage | DeveloperMessage): string {
  const offered = tools.length === 0 ? '' : `\n\n${toolsText(tools)}`;
  return responseFormat === undefined ? offered : `${offered}\n\n${responseFormatText(responseFormat)}`;
}

function toolsText(tools: readonly ToolSchema[]): string {
  return `## Tools
You have access to a set of tools you can use to answer the user's question.
You can invoke functions by writing a "<${dsml}${callsTag}>" block like the following as part of your reply to the user:
<${dsml}${callsTag}>
<${dsml}invoke name="$FUNCTION_NAME">
<${dsml}parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</${dsml}parameter>
...
</${dsml}invoke>
<${dsml}invoke name="$FUNCTION_NAME2">
...
</${dsml}invoke>
</${dsml}${callsTag}>
String and scalar parameters should be specified as is without any escaping or quotes, while lists and objects should use JSON format. The "string" attribute should be set to "true" for string type parameters and "false" for other types (numbers, booleans, arrays, objects).
If the thinking_mode is enabled, then after function results you should strongly consider outputting a thinking block. Here is an example:
<${dsml}${callsTag}>
...
</${dsml}${callsTag}>
<function_results>
...
</function_results>
${thinkBegin}...thinking about results${thinkEnd}
Here are the functions available in JSONSchema format:
<functions>
${tools.map(pythonJson).join('\n')}
</functions>
`;
}

function assistantText(turn: AssistantMessage, reasons: boolean): string {
  const { content, reasoning = '', toolCalls = [], isPrefix = false, written } = turn;
  // Where reasoning is shown now and was not then, or the other way round, the text of then does not fit.
  if (written?.beginning === (reasons ? 'reasoning' : 'content')) return written.text + endOfSentence;
  const calls = toolCalls.length === 0 ? '' : `\n\n${callsText(toolCalls, callsTag)}`;
  const isInReasoning = isPrefix && content === '' && calls === '' && reasoning !== '';
  const thought = reasons ? reasoning + (isInReasoning ? '' : thinkEnd) : '';
  return thought + content + calls + (isPrefix ? '' : endOfSentence);
}

function unreachable(value: never): never {
  throw new Error(`expected a known role, got ${JSON.stringify(value)}`);
}
