// Reading answers.
//
// Owns how a judge finds a number or a JSON value in what a model wrote, however it is worded. Knows nothing about
// which answer is right. Reading is generous about words and strict about values.
import type { AssistantMessage, UserMessage } from '@hadal/formats/chat/message';
import type { Answer, ChatProblem, Verdict } from './task.ts';

export const correct: Verdict = { isCorrect: true, reason: '' };

export function wrong(expected: string, came: string): Verdict {
  return { isCorrect: false, reason: `expected ${expected}, came ${came === '' ? 'nothing' : came}` };
}

/** Every integer or decimal in the text, as written, without thousands separators. A hyphen between two numbers is no sign. */
export function readNumbers(text: string): string[] {
  const plain = text.replace(/(?<=\d),(?=\d{3}(?!\d))/g, '').replaceAll('−', '-');
  return (
    plain.match(/(?<![\w.])(?:(?<!\d\s*)-\s?)?\d+(?:\.\d+)?(?![\d])/g)?.map((number) => number.replace(/\s/g, '')) ?? []
  );
}

/** The last number in the text: where "a + b = c." and "The answer is c." both put the result. */
export function readLastNumber(text: string): number | undefined {
  const last = readNumbers(text).at(-1);
  return last === undefined ? undefined : Number(last);
}

/** Judges by the last number of the content. */
export function judgeNumber(expected: number, final: Answer): Verdict {
  const came = readLastNumber(final.content);
  return came === expected ? correct : wrong(String(expected), came === undefined ? final.content : String(came));
}

/** The first JSON object in the text, fenced or bare; undefined where none parses. */
export function readJson(text: string): unknown {
  const begin = text.indexOf('{');
  const end = text.lastIndexOf('}');
  if (begin < 0 || end < begin) return undefined;
  try {
    return JSON.parse(text.slice(begin, end + 1));
  } catch {
    return undefined;
  }
}

export function userMessage(content: string): UserMessage {
  return { role: 'user', content };
}

/** The expert's turn. With thinking off there is no reasoning, and what must be worked out opens the content. */
export function expertTurn(thinking: boolean, working: string, content: string): AssistantMessage {
  if (thinking) return { role: 'assistant', reasoning: working, content };
  return { role: 'assistant', content: working === '' ? content : `${working}\n${content}` };
}

/** The answer that the expert's own solution gives. */
export function expertAnswer(problem: ChatProblem): Answer {
  const turns = problem.solution.filter((message) => message.role === 'assistant');
  const last = turns.at(-1);
  if (last === undefined) throw new Error(`${problem.task}: expected a solution with an assistant turn, got none`);
  return {
    reasoning: last.reasoning ?? '',
    content: last.content,
    toolCalls: turns.flatMap((turn) => turn.toolCalls ?? []),
  };
}
