// python and javascript: a program of the caller's grades.
//
// Owns what the outcome of a sandbox means as a reward. Knows nothing of how programs are shut in.

import type { GraderOfType } from '@hadal/protocol/graders';
import { failed, type Graded, rewarded } from './graded.ts';
import type { Namespaces } from './sample.ts';
import type { SandboxOutcome, SandboxPool } from './sandbox/sandbox-pool.ts';

type Program = GraderOfType<'python' | 'javascript'>;

export async function gradeProgram(
  { type, source }: Program,
  { sample, item }: Namespaces,
  sandboxes: Pick<SandboxPool, 'run'>,
  signal: AbortSignal | undefined,
): Promise<Graded> {
  const outcome = await sandboxes.run(type, { type: 'grade', source, sample, item }, signal);
  return outcome.type === 'fine' ? rewarded(outcome.reward) : programProblem(type, outcome);
}

function programProblem(type: Program['type'], outcome: Exclude<SandboxOutcome, { type: 'fine' }>): Graded {
  const isPython = type === 'python';
  switch (outcome.type) {
    case 'mistake':
    case 'memory':
      return failed(isPython ? 'python-runtime' : 'other', outcome.message);
    case 'late':
      return failed('unresponsive-reward', outcome.message);
    case 'died':
      return failed(isPython ? 'python-server' : 'other', outcome.message);
  }
}
