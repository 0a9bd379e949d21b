// The answer that is graded, and what graders see of it.
//
// Owns the two namespaces that templates and programs are given: `item`, the row, and `sample`, the answer, in OpenAI's words
// (`output_text`, `output_json`, `output_tools`, `choices`). Knows no grader.

import type { ToolCall } from '@hadal/formats/chat/message';

/** An answer, and how it came to its end. */
export interface Sample {
  readonly text: string;
  /** Empty where the model did not think aloud. */
  readonly reasoning: string;
  /** Of all turns, in order. */
  readonly toolCalls: readonly ToolCall[];
  /** Whether it was cut off. */
  readonly isTruncated: boolean;
}

/** What is graded: a row of the data, and the answer to it. */
export interface Subject {
  /** All fields of the row. */
  readonly item: unknown;
  readonly sample: Sample;
}

/** As graders see it. */
export interface Namespaces {
  readonly item: unknown;
  readonly sample: SampleNamespace;
}

export interface SampleNamespace {
  readonly output_text: string;
  /** The text as JSON; null where it is none. */
  readonly output_json: unknown;
  readonly output_tools: readonly object[];
  readonly choices: readonly object[];
}

/** An answer of which nothing is known but its text. */
export function textSample(text: string): Sample {
  return { text, reasoning: '', toolCalls: [], isTruncated: false };
}

export function namespacesOf({ item, sample }: Subject): Namespaces {
  const tools = sample.toolCalls.map(({ id, name, arguments: json }) => {
    return { id, type: 'function', function: { name, arguments: json } };
  });
  const message = {
    ...{ role: 'assistant', content: sample.text, reasoning_content: sample.reasoning },
    ...(tools.length > 0 && { tool_calls: tools }),
  };
  return {
    item: item ?? {},
    sample: {
      ...{ output_text: sample.text, output_json: readJsonText(sample.text), output_tools: tools },
      choices: [{ index: 0, message, finish_reason: sample.isTruncated ? 'length' : 'stop' }],
    },
  };
}

function readJsonText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
