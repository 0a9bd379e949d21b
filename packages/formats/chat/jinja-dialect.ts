// The dialect of a checkpoint that brings a chat template: the R1 distills, V2, V3, R1, V3.1.
//
// Owns what templates leave open: whether the prompt opens the reasoning and how thinking is turned off, in which form
// tools are called, what a template does with tools at all. It finds out by asking the template about small conversations
// when it is opened. History is the template's; of an assistant message that comes last, the text is written here, since
// templates drop reasoning. So only that message is output: of earlier ones a template may show less than was written.

import { thinkBegin, thinkEnd, toolSeparator } from '../special-tokens.ts';
import { type ChatTemplate, compileTemplate, type RenderTemplate } from './chat-template.ts';
import { type CallForm, callOpening, callsText, toolsText } from './deepseek-v3-calls.ts';
import { DeepseekV3Parser } from './deepseek-v3-parser.ts';
import type { Beginning, ChatDialect, Segment } from './dialect.ts';
import { responseFormatText } from './dsml.ts';
import type { AssistantMessage, ChatMessage, ToolCall, ToolSchema } from './message.ts';

export function openJinjaDialect(template: ChatTemplate): ChatDialect {
  const { bosToken, eosToken } = template;
  const plain = compileTemplate(template.source, template.where);
  const withToolsRender =
    template.toolSource === undefined ? plain : compileTemplate(template.toolSource, template.where);
  const traits = probe(template, plain, withToolsRender);
  const { callForm } = traits;

  function render(messages: readonly ChatMessage[], tools: readonly ToolSchema[], thinking: boolean): string {
    const offersItself = traits.showsTools || tools.length === 0 || callForm === undefined;
    const told = offersItself ? messages : withSystemText(messages, toolsText(tools, callForm));
    const text = (tools.length > 0 ? withToolsRender : plain)({
      ...variables(template, thinking),
      messages: told.map((message) => wireMessage(message, traits)),
      tools: tools.length === 0 ? null : tools.map((tool) => ({ type: 'function', function: tool })),
    });
    return template.addsBos && !text.startsWith(bosToken) ? bosToken + text : text;
  }

  return {
    stopTokens: eosToken === '' ? [] : [eosToken],
    calls:
      callForm === undefined ? { type: 'none' } : { type: 'opened', opening: (name) => callOpening(name, callForm) },
    prompt(messages, { thinking, tools = [] }) {
      const last = messages.at(-1);
      const history = last?.role === 'assistant' ? messages.slice(0, -1) : messages;
      const offered =
        tools.length > 0 ? tools : history.flatMap((message) => ('tools' in message && message.tools) || []);
      const rendered = render(history, offered, thinking);
      const opening = history.at(-1)?.role === 'tool' ? '' : traits.opening;
      const { text, beginning, style } = open(rendered, opening, thinking);
      const segments: Segment[] = [{ text, isOutput: false }];
      if (last?.role === 'assistant') segments.push({ text: answerText(last, beginning, style), isOutput: true });
      return { segments, beginning };
    },
    openParser: (beginning, calls) => new DeepseekV3Parser(beginning, calls),
  };

  function answerText(message: AssistantMessage, beginning: Beginning, { afterThought }: ThoughtStyle): string {
    const { content, reasoning = '', toolCalls = [], isPrefix = false } = message;
    const calls = toolCalls.length === 0 || callForm === undefined ? '' : callsText(toolCalls, callForm);
    const isInReasoning = isPrefix && content === '' && calls === '' && reasoning !== '';
    const thought = beginning === 'reasoning' ? reasoning + (isInReasoning ? '' : afterThought) : '';
    return thought + content + calls + (isPrefix ? '' : eosToken);
  }
}

/** What a template does, found out by asking it. */
interface Traits {
  /** How a model that always reasons is made to begin where its template forgets to. */
  readonly opening: '' | typeof forcedThought;
  readonly callForm: CallForm | undefined;
  /** Whether tools that it is handed reach the prompt. */
  readonly showsTools: boolean;
  /** As what it wants a call's arguments: JSON text, which V3's and R1's concatenate, or an object. */
  readonly callArguments: 'text' | 'object';
  /** Whether a message may have both content and calls, or loses one of them: then its calls are what matters. */
  readonly showsContentOfCallers: boolean;
}

const forcedThought = `${thinkBegin}\n`;

function probe(template: ChatTemplate, plain: RenderTemplate, withToolsRender: RenderTemplate): Traits {
  const { source, toolSource = '' } = template;
  const generation = (thinking: boolean) =>
    plain({ ...variables(template, thinking), messages: [{ role: 'user', content: 'hello' }], tools: null });
  const prompts = [generation(true), generation(false)].map((text) => text.trimEnd());
  const decides = prompts.some((text) => text.endsWith(thinkBegin) || text.endsWith(thinkEnd));
  // R1's first template took reasoning out of the history and left it to the model to begin with some.
  const opening = source.includes(thinkEnd) && !decides ? forcedThought : '';

  const hasCalls = [source, toolSource].some((text) => text.includes(toolSeparator));
  const callForm = !hasCalls ? undefined : source.includes('```') || toolSource.includes('```') ? 'fenced' : 'plain';
  const hello = { role: 'user', content: 'hello' };
  const ask = (messages: object[], tools: object[] | null = null): string => {
    try {
      return withToolsRender({ ...variables(template, false), messages, tools });
    } catch {
      // A template that does not take a message in this form does not show it.
      return '';
    }
  };
  const askWithCall = (content: string | null, args: unknown): string => {
    const call = { type: 'function', id: 'probe', function: { name: 'probe', arguments: args } };
    return ask([hello, { role: 'assistant', content, tool_calls: [call] }]);
  };
  const json = '{"deep": "sea"}';
  const callArguments = askWithCall(null, json).includes(json) ? 'text' : 'object';
  const beside = askWithCall('beforehand', callArguments === 'text' ? json : JSON.parse(json));
  return {
    opening,
    callForm,
    showsTools: ask([hello], [{ type: 'function', function: { name: 'probe_tool' } }]).includes('probe_tool'),
    callArguments,
    showsContentOfCallers: beside.includes('beforehand') && beside.includes('probe'),
  };
}

function variables({ bosToken, eosToken }: ChatTemplate, thinking: boolean): Record<string, unknown> {
  return {
    bos_token: bosToken,
    eos_token: eosToken,
    add_generation_prompt: true,
    // V3.1's name for the switch, and the one that other families use.
    thinking,
    enable_thinking: thinking,
  };
}

/** What stands between the reasoning and the answer. */
interface ThoughtStyle {
  readonly afterThought: string;
}

/**
 * The prompt brought to where the answer, or with thinking its reasoning, begins. A model whose prompt opens the reasoning
 * whatever is asked (R1, the distills) has no switch: given an empty thought, it answers at once, most of the time.
 */
function open(
  rendered: string,
  opening: string,
  thinking: boolean,
): { readonly text: string; readonly beginning: Beginning; readonly style: ThoughtStyle } {
  const text = rendered + opening;
  // R1 sets its thoughts off by line breaks; V3.1 does not, and its prompt ends without one.
  const style = { afterThought: text.endsWith(thinkBegin) ? thinkEnd : `\n${thinkEnd}\n\n` };
  if (!text.trimEnd().endsWith(thinkBegin)) return { text, beginning: 'content', style };
  return thinking
    ? { text, beginning: 'reasoning', style }
    : { text: text + style.afterThought, beginning: 'content', style };
}

function withSystemText(messages: readonly ChatMessage[], text: string): ChatMessage[] {
  const index = messages.findIndex(({ role }) => role === 'system');
  const content = [messages[index]?.content ?? '', text].filter((part) => part !== '').join('\n\n');
  const system: ChatMessage = { role: 'system', content };
  return index < 0 ? [system, ...messages] : messages.with(index, system);
}

/** A message in the form that templates are written for: the wire's. */
function wireMessage(message: ChatMessage, { callArguments, showsContentOfCallers }: Traits): object {
  switch (message.role) {
    case 'system':
      return { role: 'system', content: message.content + format(message) };
    case 'developer':
      return { role: 'user', content: message.content + format(message) };
    case 'user':
      return { role: 'user', content: message.content };
    case 'latest_reminder':
      return { role: 'system', content: message.content };
    case 'tool':
      return { role: 'tool', content: message.content, tool_call_id: message.toolCallId };
    case 'assistant': {
      const { content, reasoning = '', toolCalls = [] } = message;
      const thought = reasoning === '' ? {} : { reasoning_content: reasoning };
      if (toolCalls.length === 0) return { role: 'assistant', content, ...thought };
      // Templates tell a turn that only calls by its content, which is none.
      const said = content !== '' && showsContentOfCallers ? content : null;
      return {
        role: 'assistant',
        content: said,
        tool_calls: toolCalls.map((call) => wireCall(call, callArguments)),
        ...thought,
      };
    }
    default:
      return unreachable(message);
  }
}

function wireCall({ id, name, arguments: json }: ToolCall, form: Traits['callArguments']): object {
  return { type: 'function', id, function: { name, arguments: form === 'text' ? json : parsed(json) } };
}

/** A model's malformed arguments are still part of its history. */
function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return { arguments: json };
  }
}

function format({ responseFormat }: Extract<ChatMessage, { role: 'system' | 'developer' }>): string {
  return responseFormat === undefined ? '' : `\n\n${responseFormatText(responseFormat)}`;
}

function unreachable(value: never): never {
  throw new Error(`expected a known role, got ${JSON.stringify(value)}`);
}
