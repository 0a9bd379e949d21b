// What came of grading one answer, on the wire.
//
// Owns the shape that `POST /fine_tuning/alpha/graders/run` answers with: a flag for each kind of failure, exactly OpenAI's, and
// beside them `other_error_details`, which is ours, because "other" alone helps nobody. Knows nothing of how anything is graded.

/** Of a failure: whose fault it is decides what training does about it. A `sample-parse` is the answer's, all others are not. */
export type GraderProblemKind = keyof typeof problemFlags;

export interface GraderProblem {
  readonly kind: GraderProblemKind;
  /** The name of the grader that it came from. */
  readonly grader: string;
  readonly message: string;
}

export interface GraderUsage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
}

/** One answer, graded. */
export interface GraderRun {
  readonly name: string;
  readonly type: string;
  /** 0 where a problem kept it from being known. */
  readonly reward: number;
  /** The parts of the reward by their names: of the graders of a formula, of a task's judgement. */
  readonly subRewards: Readonly<Record<string, number>>;
  readonly problems: readonly GraderProblem[];
  readonly executionMs: number;
  /** What models were asked, by their names. */
  readonly usage: Readonly<Record<string, GraderUsage>>;
}

const problemFlags = {
  'formula-parse': 'formula_parse_error',
  'sample-parse': 'sample_parse_error',
  'truncated-observation': 'truncated_observation_error',
  'unresponsive-reward': 'unresponsive_reward_error',
  'invalid-variable': 'invalid_variable_error',
  other: 'other_error',
  'python-server': 'python_grader_server_error',
  'python-runtime': 'python_grader_runtime_error',
  'model-server': 'model_grader_server_error',
  'model-refusal': 'model_grader_refusal_error',
  'model-parse': 'model_grader_parse_error',
} as const;

type Flag = (typeof problemFlags)[GraderProblemKind];

export interface WireGraderErrors extends Readonly<Record<Flag, boolean>> {
  readonly python_grader_server_error_type: string | null;
  readonly python_grader_runtime_error_details: string | null;
  readonly model_grader_server_error_details: string | null;
  /** Ours: of whatever flag has no details of its own. */
  readonly other_error_details: string | null;
}

interface WireUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly cached_tokens: number;
}

export interface WireGraderRun {
  readonly reward: number;
  readonly metadata: {
    readonly name: string;
    readonly type: string;
    readonly errors: WireGraderErrors;
    /** Seconds. */
    readonly execution_time: number;
    readonly scores: Readonly<Record<string, number>>;
    /** Of all models together; null where none was asked. */
    readonly token_usage: number | null;
    readonly sampled_model_name: string | null;
  };
  readonly sub_rewards: Readonly<Record<string, number>>;
  readonly model_grader_token_usage_per_model: Readonly<Record<string, WireUsage>>;
}

export function wireGraderRun(run: GraderRun): WireGraderRun {
  const usage = Object.entries(run.usage).map(([model, tokens]) => [model, wireUsage(tokens)] as const);
  return {
    reward: run.reward,
    metadata: {
      ...{ name: run.name, type: run.type, errors: wireErrors(run.problems), execution_time: run.executionMs / 1000 },
      scores: run.subRewards,
      token_usage: usage.length === 0 ? null : usage.reduce((sum, [, { total_tokens }]) => sum + total_tokens, 0),
      sampled_model_name: usage[0]?.[0] ?? null,
    },
    sub_rewards: run.subRewards,
    model_grader_token_usage_per_model: Object.fromEntries(usage),
  };
}

function wireUsage({ promptTokens, completionTokens, cachedTokens }: GraderUsage): WireUsage {
  const total = promptTokens + completionTokens;
  return {
    ...{ prompt_tokens: promptTokens, total_tokens: total },
    ...{ completion_tokens: completionTokens, cached_tokens: cachedTokens },
  };
}

function wireErrors(problems: readonly GraderProblem[]): WireGraderErrors {
  const kinds = Object.keys(problemFlags) as GraderProblemKind[];
  const flags = Object.fromEntries(
    kinds.map((kind) => [problemFlags[kind], problems.some((problem) => problem.kind === kind)]),
  ) as Record<Flag, boolean>;
  const details = (isOf: (kind: GraderProblemKind) => boolean): string | null =>
    problems
      .filter(({ kind }) => isOf(kind))
      .map(({ grader, message }) => `${grader}: ${message}`)
      .join('\n') || null;
  return {
    ...flags,
    python_grader_server_error_type: details((kind) => kind === 'python-server'),
    python_grader_runtime_error_details: details((kind) => kind === 'python-runtime'),
    model_grader_server_error_details: details((kind) => kind === 'model-server'),
    other_error_details: details((kind) => !hasOwnDetails.includes(kind)),
  };
}

const hasOwnDetails: readonly GraderProblemKind[] = ['python-server', 'python-runtime', 'model-server'];
