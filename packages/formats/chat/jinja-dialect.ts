// The dialect of a checkpoint that brings a chat template: the R1 distills, V2, V3, R1, V3.1.
//
// Owns what templates leave open: whether the prompt opens the reasoning and how thinking is turned off, in which form
// tools are called, what a template does with tools at all. It finds out by asking the template about small conversations
// when it is opened. History is the template's, except of turns that are known as the model wrote them; of an assistant message
// that comes last, the text is written here, since templates drop reasoning. So only that message is output: of earlier ones a
// template may show less than was written.

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
  const openings = probeOpenings(render, (history, thinking) => generationPrompt(history, [], thinking));

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

  /** The text up to where a model answers to `history`. */
  function generationPrompt(history: readonly ChatMessage[], tools: readonly ToolSchema[], thinking: boolean) {
    const opening = history.at(-1)?.role === 'tool' ? '' : traits.opening;
    return open(renderWritten(history, tools, thinking), opening, thinking);
  }

  /** As `render`, with the turns that are known put back as they were written, where the template leaves a place for them. */
  function renderWritten(history: readonly ChatMessage[], tools: readonly ToolSchema[], thinking: boolean): string {
    const lastUser = history.findLastIndex(({ role }) => role === 'user' || role === 'developer');
    const texts = new Map<string, string>();
    const placed = history.map((message, index): ChatMessage => {
      if (message.role !== 'assistant' || message.written === undefined) return message;
      const { text, beginning } = message.written;
      const opening = openings(thinking, history[index - 1]?.role === 'tool' ? 'tool' : 'user');
      // What opened the turn is no part of the template's history, and is kept as long as the turn's reasoning would be.
      const fits = opening?.beginning === beginning && (opening.text === '' || index > lastUser);
      if (!fits) return message;
      const place = `\ue000${index}\ue001`;
      texts.set(place, opening.text + text);
      return { role: 'assistant', content: place };
    });
    if (texts.size === 0) return render(history, tools, thinking);
    let rendered = render(placed, tools, thinking);
    for (const [place, text] of texts) {
      const parts = rendered.split(place + eosToken);
      if (parts.length !== 2 || rendered.split(place).length !== 2) return render(history, tools, thinking);
      rendered = parts.join(text + eosToken);
    }
    return rendered;
  }

  return {
    stopTokens: eosToken === '' ? [] : [eosToken],
    reserved: [],
    calls:
      callForm === undefined ? { type: 'none' } : { type: 'opened', opening: (name) => callOpening(name, callForm) },
    prompt(messages, { thinking, tools = [] }) {
      const last = messages.at(-1);
      const history = last?.role === 'assistant' ? messages.slice(0, -1) : messages;
      const offered =
        tools.length > 0 ? tools : history.flatMap((message) => ('tools' in message && message.tools) || []);
      const { text, beginning, style } = generationPrompt(history, offered, thinking);
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

type Render = (messages: readonly ChatMessage[], tools: readonly ToolSchema[], thinking: boolean) => string;
type TurnOpening = { readonly text: string; readonly beginning: Beginning };

/**
 * What a prompt adds to the history before a turn begins, after a user's message and after a tool's result: an opened or an
 * empty thought, or nothing. Undefined where the template shows what comes before a turn otherwise once the turn is history.
 */
function probeOpenings(
  render: Render,
  prompt: (history: readonly ChatMessage[], thinking: boolean) => TurnOpening,
): (thinking: boolean, after: 'user' | 'tool') => TurnOpening | undefined {
  const hello: ChatMessage = { role: 'user', content: 'hello' };
  const calling: ChatMessage = {
    ...{ role: 'assistant', content: '' },
    toolCalls: [{ id: 'probe', name: 'probe', arguments: '{}' }],
  };
  const result: ChatMessage = { role: 'tool', content: 'result', toolCallId: 'probe' };
  const find = (thinking: boolean, history: readonly ChatMessage[]): TurnOpening | undefined => {
    try {
      const shown = render([...history, { role: 'assistant', content: '\ue000' }, hello], [], thinking);
      const [before = '', after] = shown.split('\ue000');
      const asked = prompt(history, thinking);
      if (after === undefined || !asked.text.startsWith(before)) return undefined;
      return { text: asked.text.slice(before.length), beginning: asked.beginning };
    } catch {
      // A template that does not take such a conversation has no place for the turn.
      return undefined;
    }
  };
  const found = [false, true].map((thinking) => ({
    user: find(thinking, [hello]),
    tool: find(thinking, [hello, calling, result]),
  }));
  return (thinking, after) => found[thinking ? 1 : 0]?.[after];
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
