// use-tools: tool schemas in, tool calls out, results in, answer out; up to three calls.
//
// Owns how a problem is put together from a scenario: which tools are offered (the needed ones among others), the expert's turns,
// the environment that answers calls, and the judge. Scenarios are use-tools-scenarios.ts. The judge wants the expected
// calls with equal arguments, in any order within one turn, and the results in the answer.
import { isDeepStrictEqual } from 'node:util';
import type { AssistantMessage, ChatMessage, ToolCall } from '@hadal/formats/chat/message';
import { pythonJson } from '@hadal/formats/chat/python-json';
import { correct, wrong } from './evaluate-answer.ts';
import { ask, dress } from './phrasing.ts';
import { type Answer, type ChatProblem, drawFor, type Task, type Verdict } from './task.ts';
import { type Mention, type Scenario, type ScenarioCall, tellRequest } from './use-tools-scenario.ts';
import { drawRequest } from './use-tools-scenarios.ts';

const name = 'use-tools';

export const useTools: Task = {
  name,
  generate(split, index): ChatProblem {
    const { drawn, random } = drawFor(name, split, index, (draws) => {
      const request = drawRequest(draws);
      return { request, key: request.key, isSmall: false };
    });
    const { language } = drawn.request;
    const thinking = !random.chance(0.25);
    const scenario = tellRequest(random, drawn.request, { split, index });
    const tools = random.shuffle(scenario.tools);
    return {
      kind: 'chat',
      task: name,
      language,
      thinking,
      key: drawn.key,
      messages: ask(random, language, dress(random, language, scenario.text, 'kept')),
      tools,
      solution: solve(scenario, thinking),
      respond: (call) => respond(scenario, call),
      judge: (final) => judge(final, scenario),
    };
  },
};

function solve(scenario: Scenario, thinking: boolean): ChatMessage[] {
  const messages: ChatMessage[] = [];
  let count = 0;
  for (const stage of scenario.stages) {
    const calls = stage.calls.map((call) => ({ id: `call-${++count}`, call }));
    const turn: AssistantMessage = {
      role: 'assistant',
      content: '',
      toolCalls: calls.map(({ id, call }) => ({ id, name: call.name, arguments: pythonJson(call.arguments) })),
    };
    messages.push(thinking ? { ...turn, reasoning: stage.thought } : turn);
    for (const { id, call } of calls) messages.push({ role: 'tool', toolCallId: id, content: pythonJson(call.result) });
  }
  const last: AssistantMessage = { role: 'assistant', content: scenario.answer };
  messages.push(thinking ? { ...last, reasoning: scenario.thought } : last);
  return messages;
}

/** What the environment answers: the drawn result for an expected call, an error for any other. */
function respond(scenario: Scenario, call: ToolCall): string {
  const known = scenario.stages.flatMap((stage) => stage.calls).find((expected) => isSameCall(expected, call));
  if (known) return pythonJson(known.result);
  const isTool = scenario.tools.some((tool) => tool.name === call.name);
  return pythonJson({ error: isTool ? 'not found' : `no tool named ${call.name}` });
}

function isSameCall(expected: ScenarioCall, call: ToolCall): boolean {
  if (expected.name !== call.name) return false;
  try {
    return isDeepStrictEqual(JSON.parse(call.arguments), expected.arguments);
  } catch {
    return false;
  }
}

function judge(final: Answer, scenario: Scenario): Verdict {
  const made = [...final.toolCalls];
  for (const stage of scenario.stages) {
    const here = made.splice(0, stage.calls.length);
    for (const expected of stage.calls) {
      const at = here.findIndex((call) => isSameCall(expected, call));
      if (at < 0) return wrong(`${expected.name} ${pythonJson(expected.arguments)}`, describe(final.toolCalls));
      here.splice(at, 1);
    }
  }
  if (made.length > 0) return wrong('no further calls', describe(final.toolCalls));
  const missing = scenario.mentions.find((mention) => !holds(final.content, mention));
  if (missing !== undefined) return wrong(`an answer with ${missing}`, final.content);
  return final.content.trim() === '' ? wrong('an answer', '') : correct;
}

function holds(content: string, mention: Mention): boolean {
  if (typeof mention === 'string') return content.toLowerCase().includes(mention.toLowerCase());
  return typeof mention === 'function' ? mention(content) : mention.test(content);
}

function describe(calls: readonly ToolCall[]): string {
  return calls.map((call) => `${call.name} ${call.arguments}`).join('; ');
}
