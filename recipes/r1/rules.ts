// The rewards of the R1 story: rules, no model (DeepSeek-R1, arXiv 2501.12948, sections 2.2.2 and 2.3.2).

import type { Grader } from '@hadal/protocol/graders';

/** Accuracy, and so much for the form of the answer and for keeping to the language of the question. */
export function ruleGrader({ format, language }: { readonly format: number; readonly language: number }): Grader {
  const part = (name: 'accuracy' | 'format' | 'language') =>
    ({ type: 'task', name, task: 'countdown', part: name }) as const;
  return {
    ...{ type: 'multi', name: 'rules' },
    graders: { accuracy: part('accuracy'), format: part('format'), language: part('language') },
    calculate_output: `accuracy + ${format} * format + ${language} * language`,
  };
}
