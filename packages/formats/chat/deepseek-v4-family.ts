// What the chat encodings of DeepSeek-V4 and V4.1 have in common: nearly everything.
//
// Owns the rules of DeepSeek's `encoding_dsv4.py` and of V4.1's `encoding.py`, and tells, for training, which characters the
// assistant itself wrote. Where the two differ, a `FamilyMember` says so as a value. Knows nothing about token ids or sampling.
// Serving and training render through here alone, so that a model is asked exactly as it was taught.

import {
  assistantTurn,
  beginOfSentence,
  endOfSentence,
  latestReminder,
  quickTasks,
  thinkBegin,
  thinkEnd,
  userTurn,
} from '../special-tokens.ts';
import type { CallsTag, ChatDialect, Effort, Segment } from './dialect.ts';
import { callsText, dsmlTags, responseFormatText } from './dsml.ts';
import { DsmlParser } from './dsml-parser.ts';
import {
  type AssistantMessage,
  type ChatMessage,
  type DeveloperMessage,
  type QuickTask,
  type SystemMessage,
  type ToolMessage,
  type ToolSchema,
  type UserMessage,
  withTools,
} from './message.ts';
import { pythonJson } from './python-json.ts';

/** What one of the two does in its own way. */
export interface FamilyMember {
  readonly callsTag: CallsTag;
  /**
   * What opens a system message, where there is such a token: then a system message in mid-conversation is answered as a
   * user's is.
   */
  readonly systemTurn: string;
  readonly reserved: readonly string[];
  /** What a thinking model is told first about how hard to think. */
  effortText(effort: Effort | undefined): string;
}

export interface RenderOptions {
  readonly thinking: boolean;
  /** Of no effect without thinking. */
  readonly effort?: Effort;
  /** Keep the reasoning of turns before the last user turn even where no message has tools. */
  readonly keepReasoning?: boolean;
}

export function familyDialect(member: FamilyMember): ChatDialect {
  return {
    stopTokens: [endOfSentence],
    calls: { type: 'dsml', tag: member.callsTag },
    reserved: member.reserved,
    prompt: (messages, { tools = [], ...options }) => ({
      segments: renderSegments(withTools(messages, tools), options, member),
      beginning: options.thinking ? 'reasoning' : 'content',
    }),
    openParser: (beginning, calls) => new DsmlParser(beginning, calls),
  };
}

/**
 * The text up to where the model goes on, in segments. Output segments hold an assistant turn from the first character the
 * model generates to its end-of-sentence token: reasoning, `</think>`, content, tool calls. The `<think>` or `</think>`
 * that opens a turn is given to the model and so belongs to the prompt.
 */
export function renderSegments(
  messages: readonly ChatMessage[],
  { thinking, effort, keepReasoning = false }: RenderOptions,
  member: FamilyMember,
): Segment[] {
  const merged = mergeUserTurns(messages);
  const hasTools = merged.some((turn) => 'tools' in turn && turn.tools !== undefined && turn.tools.length > 0);
  const dropsReasoning = thinking && !hasTools && !keepReasoning;
  const turns = dropsReasoning ? dropPastDevelopers(merged, member) : merged;
  const lastUser = lastUserTurn(turns, member);

  const segments: Segment[] = [];
  const effortText = thinking ? member.effortText(effort) : '';
  // The effort is said in the system's turn, which is opened for it where no system message comes first.
  const opensSystem = effortText !== '' || turns[0]?.role === 'system';
  let prompt = beginOfSentence + (opensSystem ? member.systemTurn : '') + effortText;
  turns.forEach((turn, index) => {
    const next = turns[index + 1];
    if (turn.role === 'assistant') {
      // The result of a quick task follows its token directly; no reasoning stands between.
      const answersTask = taskOf(turns[index - 1]) !== undefined;
      const reasons = thinking && !answersTask && (!dropsReasoning || index > lastUser);
      segments.push(
        { text: prompt, isOutput: false },
        { text: assistantText(turn, reasons, member.callsTag), isOutput: true },
      );
      prompt = '';
    } else {
      if (turn.role === 'system' && index > 0) prompt += member.systemTurn;
      prompt += turnText(turn, member.callsTag);
    }
    if (next === undefined || next.role === 'assistant' || next.role === 'latest_reminder') {
      const opensThinking = thinking && (!dropsReasoning || index >= lastUser);
      prompt += generationHeader(turn, isUserTurn(turn, index, member), opensThinking);
    }
  });
  if (prompt !== '') segments.push({ text: prompt, isOutput: false });
  return segments;
}

/** What a user turn is made of: V4 has no role for tool results. */
type Block =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'result'; readonly message: ToolMessage };

interface MergedUserTurn {
  readonly role: 'user';
  readonly blocks: Block[];
  task: QuickTask | undefined;
}

type Turn = Exclude<ChatMessage, UserMessage | ToolMessage> | MergedUserTurn;

/** Joins neighbouring user and tool messages into one turn; results stand in the order of their calls. */
function mergeUserTurns(messages: readonly ChatMessage[]): Turn[] {
  const turns: Turn[] = [];
  let callOrder = new Map<string, number>();
  for (const message of messages) {
    if (message.role !== 'user' && message.role !== 'tool') {
      if (message.role === 'assistant' && message.toolCalls !== undefined && message.toolCalls.length > 0) {
        callOrder = new Map(message.toolCalls.map((call, index) => [call.id, index]));
      }
      turns.push(message);
      continue;
    }
    const last = turns.at(-1);
    const block: Block =
      message.role === 'tool' ? { type: 'result', message } : { type: 'text', text: message.content };
    let turn: MergedUserTurn;
    if (last?.role === 'user' && (last.task === undefined || block.type === 'result')) {
      turn = last;
    } else {
      turn = { role: 'user', blocks: [], task: undefined };
      turns.push(turn);
    }
    turn.blocks.push(block);
    if (message.role === 'user' && message.task !== undefined) turn.task = message.task;
    if (block.type === 'result') sortResults(turn.blocks, callOrder);
  }
  return turns;
}

/** Sorts the results among the places that results have, leaving text where it is. */
function sortResults(blocks: Block[], callOrder: ReadonlyMap<string, number>): void {
  const order = (block: Block): number =>
    block.type === 'result' ? (callOrder.get(block.message.toolCallId) ?? 0) : 0;
  const sorted = blocks.filter((block) => block.type === 'result').sort((a, b) => order(a) - order(b));
  let taken = 0;
  blocks.forEach((block, index) => {
    if (block.type === 'result') blocks[index] = sorted[taken++] ?? block;
  });
}

/** Where reasoning is dropped, so are the developer messages before the last user turn. */
function dropPastDevelopers(turns: Turn[], member: FamilyMember): Turn[] {
  const lastUser = lastUserTurn(turns, member);
  return turns.filter((turn, index) => turn.role !== 'developer' || index >= lastUser);
}

function lastUserTurn(turns: readonly Turn[], member: FamilyMember): number {
  return turns.findLastIndex((turn, index) => isUserTurn(turn, index, member));
}

/** Whether the model answers to the turn. */
function isUserTurn({ role }: Turn, index: number, { systemTurn }: FamilyMember): boolean {
  return role === 'user' || role === 'developer' || (role === 'system' && index > 0 && systemTurn !== '');
}

function taskOf(turn: Turn | undefined): QuickTask | undefined {
  return turn?.role === 'user' || turn?.role === 'assistant' ? turn.task : undefined;
}

function turnText(turn: Exclude<Turn, AssistantMessage>, callsTag: CallsTag): string {
  switch (turn.role) {
    case 'system':
      return turn.content + appendix(turn, callsTag);
    case 'developer':
      return userTurn + turn.content + appendix(turn, callsTag);
    case 'user':
      return userTurn + turn.blocks.map(blockText).join('\n\n');
    case 'latest_reminder':
      return latestReminder + turn.content;
    default:
      return unreachable(turn);
  }
}

function blockText(block: Block): string {
  return block.type === 'text' ? block.text : `<tool_result>${block.message.content}</tool_result>`;
}

function appendix({ tools, responseFormat }: SystemMessage | DeveloperMessage, callsTag: CallsTag): string {
  let text = '';
  if (tools !== undefined && tools.length > 0) text += `\n\n${toolsText(tools, callsTag)}`;
  if (responseFormat !== undefined) text += `\n\n${responseFormatText(responseFormat)}`;
  return text;
}

function toolsText(tools: readonly ToolSchema[], callsTag: CallsTag): string {
  const { blockBegin, blockEnd, callBegin, callEnd, parameterBegin, parameterEnd } = dsmlTags(callsTag);
  return `## Tools

You have access to a set of tools to help answer the user's question. You can invoke tools by writing a "${blockBegin}" block like the following:

${blockBegin}
${callBegin}$TOOL_NAME">
${parameterBegin}$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE${parameterEnd}
...
${callEnd}
${callBegin}$TOOL_NAME2">
...
${callEnd}
${blockEnd}

String parameters should be specified as is and set \`string="true"\`. For all other types (numbers, booleans, arrays, objects), pass the value in JSON format and set \`string="false"\`.

If thinking_mode is enabled (triggered by ${thinkBegin}), you MUST output your complete reasoning inside ${thinkBegin}...${thinkEnd} BEFORE any tool calls or final response.

Otherwise, output directly after ${thinkEnd} with tool calls or final response.

### Available Tool Schemas

${tools.map(pythonJson).join('\n')}

You MUST strictly follow the above defined tool name and parameter schemas to invoke tool calls.
`;
}

/** What stands between a turn and what the model writes next. */
function generationHeader(turn: Turn, isUsers: boolean, opensThinking: boolean): string {
  const opening = opensThinking ? thinkBegin : thinkEnd;
  const task = taskOf(turn);
  if (task === 'action') return assistantTurn + opening + quickTasks.action;
  if (task !== undefined) return quickTasks[task];
  return isUsers ? assistantTurn + opening : '';
}

function assistantText(turn: AssistantMessage, reasons: boolean, callsTag: CallsTag): string {
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
