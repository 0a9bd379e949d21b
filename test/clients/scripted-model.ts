// What the scripted model says to the clients.
//
// Owns an answer for every task that the programs set, read off the prompt alone: which tools it shows and how many results have
// come back. It stands in where hadal-nano cannot follow: a page of instructions, several tools, a file to be written. The
// server around it is the real one.

import { dsml, thinkBegin, thinkEnd } from '@hadal/formats/special-tokens';

type Call = readonly [name: string, parameters: Readonly<Record<string, unknown>>];

/** The file that coding clients are asked for, and what it says. */
export const file = 'hello.txt';
export const content = 'deep sea';

/** What is ordered where JSON is asked for. */
const order = { item: 'lamps', count: 12 };
const patch = `*** Begin Patch\n*** Add File: ${file}\n+${content}\n*** End Patch\n`;

interface Task {
  /** That only this client has. */
  readonly tool: string;
  /** What was asked, where the tool alone does not tell. */
  readonly asked?: string;
  /** What is called first, and what then, one after another. */
  readonly calls: (prompt: string) => readonly (readonly Call[])[];
}

/** The first that fits. */
const tasks: readonly Task[] = [
  // Claude Code, whose rarer tools are loaded when they are looked for.
  {
    tool: 'ToolSearch',
    asked: 'Which tool edits notebooks?',
    calls: (prompt) => [
      [['ToolSearch', { query: 'select:NotebookEdit' }]],
      ...(shows(prompt, 'NotebookEdit') ? [] : [[['Bash', { command: 'exit 1', description: 'Give up' }] as const]]),
    ],
  },
  {
    tool: 'Write',
    calls: (prompt) => [
      [['Write', { file_path: `${workingDirectory(prompt)}/${file}`, content: `${content}\n` }]],
      [['Bash', { command: `cat ${file}`, description: 'Show the file' }]],
    ],
  },
  // Codex, where it knows the model to take patches as they are, and where it does not.
  {
    tool: 'apply_patch',
    calls: () => [[['apply_patch', { input: patch }]], [['exec_command', { cmd: `cat ${file}` }]]],
  },
  {
    tool: 'exec_command',
    calls: () => [[['exec_command', { cmd: `echo ${content} > ${file}` }]], [['exec_command', { cmd: `cat ${file}` }]]],
  },
  // DeepSeek Harness.
  {
    tool: 'str_replace_editor',
    calls: () => [
      [['write', { file_path: file, content: `${content}\n` }]],
      [['bash', { command: `cat ${file}`, description: 'Show the file' }]],
    ],
  },
  // Agents that hand over to each other.
  { tool: 'transfer_to_Forecaster', calls: () => [[['transfer_to_Forecaster', {}]]] },
  // LangChain, which makes a tool of a schema.
  { tool: 'order', calls: () => [[['order', order]]] },
  // Everyone else: two calls at once.
  {
    tool: 'weather',
    calls: () => [
      [
        ['weather', { city: 'Paris' }],
        ['weather', { city: 'Oslo' }],
      ],
    ],
  },
];

export function scriptedAnswer(prompt: string): string[] {
  const reasoning = prompt.endsWith(thinkBegin) ? `Let me see.${thinkEnd}` : '';
  const results = Array.from(prompt.matchAll(/<tool_result>([\s\S]*?)<\/tool_result>/g), ([, result = '']) => result);
  const task = tasks.find(({ tool, asked = '' }) => shows(prompt, tool) && prompt.includes(asked));
  const turns = task?.calls(prompt) ?? [];
  // Turns before this one, by the results that they must have had.
  let answered = 0;
  for (const calls of turns) {
    if (results.length <= answered) return [reasoning, ...callsText(calls)];
    answered += calls.length;
  }
  if (results.length > 0) return [reasoning, `The tools said: ${results.map(lastLine).join(', ')}.`];
  if (prompt.includes(' as JSON')) return [reasoning, JSON.stringify(order)];
  return [reasoning, 'Hello from', ' the deep.'];
}

function shows(prompt: string, tool: string): boolean {
  return prompt.includes(`{"name": "${tool}"`);
}

function callsText(calls: readonly Call[]): string[] {
  const parameter = ([name, value]: [string, unknown]) => {
    const isString = typeof value === 'string';
    return `<${dsml}parameter name="${name}" string="${isString}">${isString ? value : JSON.stringify(value)}</${dsml}parameter>\n`;
  };
  const invocations = calls.map(
    ([name, parameters]) =>
      `<${dsml}invoke name="${name}">\n${Object.entries(parameters).map(parameter).join('')}</${dsml}invoke>\n`,
  );
  return [`\n\n<${dsml}tool_calls>\n`, ...invocations, `</${dsml}tool_calls>`];
}

/** Claude Code's tools want absolute paths, and its instructions say where they begin. */
function workingDirectory(prompt: string): string {
  return /working directory: (\S+)/.exec(prompt)?.[1] ?? '/';
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
