// Tool calls as V3, R1 and V3.1 write them.
//
// Owns the two forms in the direction that `deepseek-v3-parser` reverses, and how tools are described to these models:
// their own templates say nothing of tools, the text for it stands on V3.1's model card. Knows no template.

import { toolCallBegin, toolCallEnd, toolCallsBegin, toolCallsEnd, toolSeparator } from '../special-tokens.ts';
import type { ToolCall, ToolSchema } from './message.ts';
import { pythonJson } from './python-json.ts';

/** `fenced`: `function<sep>NAME` and JSON in a code fence (V3, R1). `plain`: `NAME<sep>JSON` (V3.1). */
export type CallForm = 'fenced' | 'plain';

/** The block of calls that ends an answer. */
export function callsText(calls: readonly ToolCall[], form: CallForm): string {
  const written = calls.map((call) => callText(call.name, call.arguments, form));
  return toolCallsBegin + written.join(form === 'fenced' ? '\n' : '') + toolCallsEnd;
}

/** The beginning of an answer that must call a tool: what follows it can only be a call. */
export function callOpening(name: string | undefined, form: CallForm): string {
  const opening = toolCallsBegin + toolCallBegin;
  if (form === 'plain') return name === undefined ? opening : `${opening}${name}${toolSeparator}`;
  return `${opening}function${toolSeparator}${name === undefined ? '' : `${name}\n\`\`\`json\n`}`;
}

/** What the system message says of `tools`. */
export function toolsText(tools: readonly ToolSchema[], form: CallForm): string {
  const described = tools.map(
    ({ name, description = '', parameters = {} }) =>
      `### ${name}\nDescription: ${description}\n\nParameters: ${pythonJson(parameters)}\n\n`,
  );
  const example = callText('tool_call_name', 'tool_call_arguments', form);
  return `## Tools
You have access to the following tools:

${described.join('')}IMPORTANT: ALWAYS adhere to this exact format for tool use:
${toolCallsBegin}${example}{additional_tool_calls}${toolCallsEnd}

Where:
- \`tool_call_name\` must be an exact match to one of the available tools
- \`tool_call_arguments\` must be valid JSON that strictly follows the tool's Parameters Schema
- For multiple tool calls, chain them directly without separators or spaces`;
}

function callText(name: string, json: string, form: CallForm): string {
  const call =
    form === 'plain' ? name + toolSeparator + json : `function${toolSeparator}${name}\n\`\`\`json\n${json}\n\`\`\``;
  return toolCallBegin + call + toolCallEnd;
}
