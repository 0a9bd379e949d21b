// The chat encoding of DeepSeek-V4: a conversation to the text that the model reads.
//
// Owns the rules of DeepSeek's `encoding_dsv4.py` and tells, for training, which characters the assistant itself wrote. Knows
// nothing about token ids or sampling. Serving and training render through `renderConversation` alone, so that a model
// is asked exactly as it was taught.

import {
  assistantTurn,
  beginOfSentence,
  dsml,
  endOfSentence,
  latestReminder,
  quickTasks,
  thinkBegin,
  thinkEnd,
  userTurn,
} from '../special-tokens.ts';
import type { ChatDialect, Effort, Segment } from './dialect.ts';
import { callsText, responseFormatText } from './dsml.ts';
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

/** Which checkpoint's effort texts: the preview of April 2026 (the default), or the releases since 0731. */
export type EffortDialect = 'preview' | 'release';

export interface EncodeOptions {
  readonly thinking: boolean;
  /** Without it, no effort text. Of no effect without thinking. */
  readonly effort?: Effort;
  readonly effortDialect?: EffortDialect;
  /** Keep the reasoning of turns before the last user turn even where no message has tools. */
  readonly keepReasoning?: boolean;
}

const thorough =
  'Reasoning Effort: Absolute maximum with no shortcuts permitted.\n' +
  'You MUST be very thorough in your thinking and comprehensively decompose the problem to resolve the root cause, ' +
  'rigorously stress-testing your logic against all potential paths, edge cases, and adversarial scenarios.\n' +
  'Explicitly write out your entire deliberation process, documenting every intermediate step, considered ' +
  'alternative, and rejected hypothesis to ensure absolutely no assumption is left unchecked.\n\n';

const relentless =
  'Reasoning Effort: Beyond maximum — exhaustive, relentless, and uncompromising.\n' +
  'You MUST reason with the utmost depth and rigor, leaving absolutely nothing to chance: exhaustively decompose the ' +
  'problem into its most fundamental components, trace every causal chain to its root, and resolve the underlying ' +
  'cause rather than any surface symptom.\n' +
  'Do not stop reasoning until you have independently verified the solution from multiple angles and are certain ' +
  'that no assumption remains unchecked and no error remains undiscovered.\n\n';

const effortTexts: Record<EffortDialect, Record<Effort, string>> = {
  preview: { low: '', high: '', max: thorough },
  release: { low: '', high: thorough, max: relentless },
};

const callsTag = 'tool_calls';

export const deepseekV4: ChatDialect = {
  stopTokens: [endOfSentence],
  calls: { type: 'dsml', tag: callsTag },
  prompt: (messages, { tools = [], ...options }) => ({
    segments: renderConversation(withTools(messages, tools), options),
    beginning: options.thinking ? 'reasoning' : 'content',
  }),
  openParser: (beginning) => new DsmlParser({ beginning, callsTag }),
};

/** The prompt for `messages`, up to where the model goes on. Starts with the begin-of-sentence token. */
export function encodeMessages(messages: readonly ChatMessage[], options: EncodeOptions): string {
  return renderConversation(messages, options)
    .map((segment) => segment.text)
    .join('');
}

/**
 * The same text as `encodeMessages`, in segments. Output segments hold an assistant turn from the first character the
 * model generates to its end-of-sentence token: reasoning, `</think>`, content, tool calls. The `<think>` or `</think>`
 * that opens a turn is given to the model and so belongs to the prompt.
 */
export function renderConversation(messages: readonly ChatMessage[], options: EncodeOptions): Segment[] {
  const { thinking, effort, effortDialect = 'preview' } = options;
  const merged = mergeUserTurns(messages);
  const hasTools = merged.some((turn) => 'tools' in turn && turn.tools !== undefined && turn.tools.length > 0);
  const dropsReasoning = thinking && !hasTools && options.keepReasoning !== true;
  const turns = dropsReasoning ? dropPastDevelopers(merged) : merged;
  const lastUser = turns.findLastIndex(isUserTurn);

  const segments: Segment[] = [];
  let prompt = beginOfSentence;
  if (thinking && effort !== undefined) prompt += effortTexts[effortDialect][effort];
  turns.forEach((turn, index) => {
    const next = turns[index + 1];
    if (turn.role === 'assistant') {
      // The result of a quick task follows its token directly; no reasoning stands between.
      const answersTask = taskOf(turns[index - 1]) !== undefined;
      const reasons = thinking && !answersTask && (!dropsReasoning || index > lastUser);
      segments.push({ text: prompt, isOutput: false }, { text: assistantText(turn, reasons), isOutput: true });
      prompt = '';
    } else {
      prompt += turnText(turn);
    }
    if (next === undefined || next.role === 'assistant' || next.role === 'latest_reminder') {
      prompt += generationHeader(turn, thinking && (!dropsReasoning || index >= lastUser));
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
function dropPastDevelopers(turns: Turn[]): Turn[] {
  const lastUser = turns.findLastIndex(isUserTurn);
  return turns.filter((turn, index) => turn.role !== 'developer' || index >= lastUser);
}

function isUserTurn(turn: Turn): boolean {
  return turn.role === 'user' || turn.role === 'developer';
}

function taskOf(turn: Turn | undefined): QuickTask | undefined {
  return turn?.role === 'user' || turn?.role === 'assistant' ? turn.task : undefined;
}

function turnText(turn: Exclude<Turn, AssistantMessage>): string {
  switch (turn.role) {
    case 'system':
      return turn.content + appendix(turn);
    case 'developer':
      return userTurn + turn.content + appendix(turn);
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

function appendix({ tools, responseFormat }: SystemMessage | DeveloperMessage): string {
  let text = '';
  if (tools !== undefined && tools.length > 0) text += `\n\n${toolsText(tools)}`;
  if (responseFormat !== undefined) text += `\n\n${responseFormatText(responseFormat)}`;
  return text;
}

function toolsText(tools: readonly ToolSchema[]): string {
  return `## Tools

You have access to a set of tools to help answer the user's question. You can invoke tools by writing a "<${dsml}tool_calls>" block like the following:

<${dsml}tool_calls>
<${dsml}invoke name="$TOOL_NAME">
<${dsml}parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</${dsml}parameter>
...
</${dsml}invoke>
<${dsml}invoke name="$TOOL_NAME2">
...
</${dsml}invoke>
</${dsml}tool_calls>

String parameters should be specified as is and set \`string="true"\`. For all other types (numbers, booleans, arrays, objects), pass the value in JSON format and set \`string="false"\`.

If thinking_mode is enabled (triggered by ${thinkBegin}), you MUST output your complete reasoning inside ${thinkBegin}...${thinkEnd} BEFORE any tool calls or final response.

Otherwise, output directly after ${thinkEnd} with tool calls or final response.

### Available Tool Schemas

${tools.map(pythonJson).join('\n')}

You MUST strictly follow the above defined tool name and parameter schemas to invoke tool calls.
`;
}

/** What stands between a turn and what the model writes next. */
function generationHeader(turn: Turn, opensThinking: boolean): string {
  const opening = opensThinking ? thinkBegin : thinkEnd;
  const task = taskOf(turn);
  if (task === 'action') return assistantTurn + opening + quickTasks.action;
  if (task !== undefined) return quickTasks[task];
  return isUserTurn(turn) ? assistantTurn + opening : '';
}

function assistantText(turn: AssistantMessage, reasons: boolean): string {
  const { content, reasoning = '', toolCalls = [], isPrefix = false, written } = turn;
  // Where reasoning is shown now and was not then, or the other way round, the text of then does not fit.
  if (written !== undefined && written.includes(thinkEnd) === reasons) return written + endOfSentence;
  const calls = toolCalls.length === 0 ? '' : `\n\n${callsText(toolCalls, callsTag)}`;
  const isInReasoning = isPrefix && content === '' && calls === '' && reasoning !== '';
  const thought = reasons ? reasoning + (isInReasoning ? '' : thinkEnd) : '';
  return thought + content + calls + (isPrefix ? '' : endOfSentence);
}

function unreachable(value: never): never {
  throw new Error(`expected a known role, got ${JSON.stringify(value)}`);
}
