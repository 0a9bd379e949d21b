// Group relative policy optimization (DeepSeekMath, arXiv 2402.03300; DeepSeek-R1, arXiv 2501.12948).
//
// The loop of a job, to be read from top to bottom: ask, sample a group of answers to every prompt, grade them, find what each is
// worth beyond its fellows, and move the weights. What a ratio, a clip or a divergence is stands in `policy-objective`. The answers
// come from an engine over the very weights that are trained, so before the first update of a step every ratio is exactly 1.

import type { GraderRun } from '@hadal/protocol/grader-run';
import type { TrainingMethod } from '@hadal/protocol/training-order';
import { KeptRouting } from '@hadal/tensor/kept-routing';
import { isSound } from './graders/grader.ts';
import { EpochOrder } from './jobs/epoch-order.ts';
import type { JobPosition } from './jobs/job-directory.ts';
import type { JobRun } from './jobs/job-run.ts';
import { type Judge, languageShare, noteGradings, sampleOf, unlessStopped } from './jobs/judge.ts';
import { checkpointInterval, grpoPlan } from './jobs/plans.ts';
import type { TrainingPrompt } from './jobs/prompts.ts';
import { jobRowTokens, type PackedRow, packDocuments, tokenCount } from './packing.ts';
import {
  groupAdvantages,
  known,
  meanOf,
  type PolicyLoss,
  type PolicySample,
  policyLoss,
  spreadOf,
} from './policy-objective.ts';
import { type Rollout, type SampledDocument, sampledDocuments, sampleGroups } from './rollouts.ts';
import type { RowLoss } from './trainer.ts';

export type Reinforcement = Extract<TrainingMethod, { type: 'reinforcement' }>;

/** A document with what it is worth. */
interface WorthDocument extends SampledDocument {
  readonly advantage: number;
  /** Sampled tokens of the whole answer, of whose turns this may be one. */
  readonly answerTokens: number;
}

export interface GrpoData {
  readonly prompts: readonly TrainingPrompt[];
  readonly heldOut: readonly TrainingPrompt[];
  readonly judge: Judge;
}

/** Runs the job from `at` until it is done or is to stop. Returns where it stands then. */
export async function grpo(job: JobRun, method: Reinforcement, { prompts, heldOut, judge }: GrpoData, at: JobPosition) {
  const { grpo: options } = method;
  const { seed } = job.order;
  const plan = grpoPlan(method, prompts.length);
  const { batchSize, groupSize, steps, evalInterval, evalSamples } = plan;
  job.settle({
    ...{ ...plan, schedule: { steps, warmupSteps: Math.min(10, Math.ceil(steps / 20)), decayShare: 0 } },
    checkpointSteps: checkpointInterval(job.order, Math.max(10, steps / 10)),
    more: { group_size: groupSize, eval_interval: evalInterval, eval_samples: evalSamples },
  });
  const order = new EpochOrder(prompts.length, `${seed}/prompts`);
  const reference = options.klCoefficient > 0 ? job.openReference(at.referenceStep) : undefined;
  const settings = {
    ...{ temperature: options.temperature, maxTokens: options.maxCompletionTokens, maxTurns: options.maxTurns },
  };
  if (at.step === 0 && heldOut.length > 0) job.noteMeasures(at.step, await evaluate());

  while (job.goesOn(at)) {
    // Due as a step begins, so that it is not missed where the job was killed between the state of a step and its new reference.
    const { referenceRefresh } = options;
    if (reference && referenceRefresh > 0 && at.step % referenceRefresh === 0 && at.referenceStep !== at.step) {
      at = { ...at, referenceStep: at.step };
      job.renewReference(at);
    }
    const asked = Array.from({ length: batchSize }, (_, i) => prompts[order.at(at.next + i)] as TrainingPrompt);
    const begunMs = performance.now();
    const groups = await sampleGroups(job.candidate, asked, {
      ...settings,
      groupSize,
      seed: `${seed}/rollouts/${at.step}`,
    });
    const sampledMs = performance.now();
    const graded = await unlessStopped(Promise.all(groups.map((group) => Promise.all(group.map(grade)))));
    // The same answers are sampled again when the job goes on.
    if (graded === undefined) return at;
    noteGradings(job, graded.flat());
    // A grading that failed says nothing of the answer: it is no 0, which might be the best of its group.
    const rewards_P_G = graded.map((group) => group.map((run) => (isSound(run) ? run.reward : undefined)));
    const advantages_P_G = groupAdvantages(rewards_P_G, options.scaleRewards);
    const gradedMs = performance.now();

    // A group in which all are alike says nothing of what is better (DAPO, arXiv 2503.14476, section 3.2).
    const isEqual = rewards_P_G.map((rewards) => new Set(known(rewards)).size <= 1);
    const kept = groups.flatMap((group, p) =>
      group.flatMap((rollout, g) => {
        if (options.dropEqualGroups && isEqual[p]) return [];
        if (rewards_P_G[p]?.[g] === undefined) return [];
        // What was cut off was not judged by what it was going to say (DAPO, section 3.4).
        if (options.maskTruncated && isTruncated(rollout)) return [];
        const advantage = advantages_P_G[p]?.[g] as number;
        const documents = sampledDocuments(rollout.exchange);
        const answerTokens = documents.reduce((sum, { sampled }) => sum + sampled.length, 0);
        return documents.map((document): WorthDocument => ({ ...document, advantage, answerTokens }));
      }),
    );
    const { rows, places } = packDocuments(
      kept.map(({ document }) => document),
      jobRowTokens,
    );
    const measured = rows.length > 0 ? learn(at, kept, rows, places) : {};
    const next: JobPosition = {
      ...{ ...at, step: at.step + 1, next: at.next + batchSize },
      update: at.update + (rows.length > 0 ? options.updatesPerStep : 0),
      trainedTokens: at.trainedTokens + tokenCount(rows),
    };
    job.refreshEngine();
    job.noteRollouts(next.step, rolloutLines(groups, graded, advantages_P_G));
    const all = groups.flat();
    const updatedMs = performance.now();
    const isTime = heldOut.length > 0 && (next.step % evalInterval === 0 || next.step === steps);
    at = await job.finishStep(next, {
      ...rewardMeasures(graded, rewards_P_G, isEqual),
      ...lengthMeasures(all),
      ...measured,
      ...{ sampling_seconds: (sampledMs - begunMs) / 1000, grading_seconds: (gradedMs - sampledMs) / 1000 },
      update_seconds: (updatedMs - gradedMs) / 1000,
      // Before the step is saved: nobody would take it again.
      ...(isTime && (await evaluate())),
    });
  }
  return at;

  /** A judge's reward, and what is paid for keeping to the language of the question (DeepSeek-R1, section 2.3.2). */
  async function grade({ prompt, exchange }: Rollout): Promise<GraderRun> {
    const sample = sampleOf(exchange);
    const run = await judge(prompt.item, sample);
    if (options.languageReward === 0) return run;
    const share = languageShare(prompt.question, sample);
    return {
      ...run,
      reward: run.reward + options.languageReward * share,
      subRewards: { ...run.subRewards, language_consistency: share },
    };
  }

  /**
   * The updates of one step. The first one finds every token as likely as it was when it was sampled, by the same experts; later
   * ones may be kept to these (`keepRouting`: DeepSeek-V3.2, arXiv 2512.02556, section 3.1).
   */
  function learn(
    now: JobPosition,
    documents: readonly WorthDocument[],
    rows: readonly PackedRow[],
    places: readonly (readonly number[])[],
  ): Record<string, number> {
    const references = reference && rows.map((row) => reference.logprobs(row));
    const tokens = documents.reduce((sum, { sampled }) => sum + sampled.length, 0);
    using routing = options.keepRouting ? new KeptRouting(job.device.memory) : undefined;
    const sums = { kl: 0, clippedLow: 0, clippedHigh: 0, ratio: 0, tokens: 0 };
    let difference = 0;
    let last = { loss: 0, gradientNorm: 0 };
    for (let update = 0; update < options.updatesPerStep; update++) {
      const ofRow = (row: number, logprobs_D_T: readonly Float32Array[]): RowLoss => {
        const rowTokenCount = logprobs_D_T.reduce((sum, { length }) => sum + length, 0);
        // By `samples` groups that say nothing count: a step with few that do is a small one. Averages over tokens are of what is kept.
        const sizes = {
          ...{ samples: batchSize * groupSize, tokens: rowTokenCount * rows.length, meanTokens: tokens },
        };
        const losses = logprobs_D_T.map((logprobs, d): PolicyLoss => {
          const place = places[row]?.[d] as number;
          const { sampled, advantage, answerTokens } = documents[place] as WorthDocument;
          if (update === 0) difference = Math.max(difference, largestDifference(sampled, logprobs));
          const sample: PolicySample = { sampled, advantage, answerTokens, reference: references?.[row]?.[d] };
          return policyLoss(sample, logprobs, options, sizes);
        });
        for (const one of losses) {
          sums.kl += one.kl;
          sums.clippedLow += one.clippedLow;
          sums.clippedHigh += one.clippedHigh;
          sums.ratio += one.ratio;
        }
        sums.tokens += rowTokenCount;
        const loss = losses.reduce((sum, one) => sum + one.loss, 0);
        return { loss, derivative_D_T: losses.map(({ derivative }) => derivative) };
      };
      last = job.update({ ...now, update: now.update + update }, rows, { type: 'logprobs', ofRow }, routing);
    }
    return {
      ...{ loss: last.loss, grad_norm: last.gradientNorm, rollout_train_logprob_diff: difference },
      ...(reference && { kl: sums.kl / sums.tokens }),
      'clip_ratio/low_mean': sums.clippedLow / sums.tokens,
      'clip_ratio/high_mean': sums.clippedHigh / sums.tokens,
      'importance_sampling_ratio/mean': sums.ratio / sums.tokens,
      // The mean surprise of sampled tokens estimates the policy's entropy.
      entropy: -meanOf(documents.flatMap(({ sampled }) => [...sampled])),
    };
  }

  /** What the policy gains on held-out prompts. Changes nothing. */
  async function evaluate(): Promise<Record<string, number>> {
    const groups = await sampleGroups(job.candidate, heldOut, {
      ...{ ...settings, groupSize: evalSamples, seed: `${seed}/evaluation` },
      temperature: evalSamples === 1 ? 0 : options.temperature,
    });
    const runs = await Promise.all(groups.flat().map(grade));
    noteGradings(job, runs);
    const sound = runs.filter(isSound);
    return { valid_reward_mean: meanOf(sound.map(({ reward }) => reward)), ...partMeans('valid_', sound) };
  }
}

function isTruncated({ exchange }: Rollout): boolean {
  return exchange.turns.at(-1)?.isTruncated === true;
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] as number))), 0);
}

function rewardMeasures(
  graded: readonly (readonly GraderRun[])[],
  rewards_P_G: readonly (readonly (number | undefined)[])[],
  isEqual: readonly boolean[],
): Record<string, number> {
  return {
    reward: meanOf(known(rewards_P_G.flat())),
    reward_std: meanOf(rewards_P_G.map((rewards) => spreadOf(known(rewards)))),
    frac_reward_zero_std: meanOf(isEqual.map(Number)),
    ...partMeans('rewards/', graded.flat().filter(isSound)),
  };
}

function partMeans(prefix: string, runs: readonly GraderRun[]): Record<string, number> {
  const names = [...new Set(runs.flatMap(({ subRewards }) => Object.keys(subRewards)))];
  return Object.fromEntries(
    names.map((name) => [`${prefix}${name}/mean`, meanOf(runs.map(({ subRewards }) => subRewards[name] ?? 0))]),
  );
}

function lengthMeasures(rollouts: readonly Rollout[]): Record<string, number> {
  const lengths = rollouts.map(({ exchange }) => exchange.completionTokens);
  return {
    num_tokens: lengths.reduce((sum, length) => sum + length, 0),
    'completions/mean_length': meanOf(lengths),
    'completions/max_length': Math.max(...lengths),
    'completions/clipped_ratio': meanOf(rollouts.map((rollout) => Number(isTruncated(rollout)))),
  };
}

/** What can be looked at afterwards: the first thing to do when a reward does not rise. */
function rolloutLines(
  groups: readonly (readonly Rollout[])[],
  graded: readonly (readonly GraderRun[])[],
  advantages_P_G: readonly (readonly number[])[],
): object[] {
  return groups.flatMap((group, p) =>
    group.map(({ prompt, exchange }, g) => {
      const run = graded[p]?.[g] as GraderRun;
      const { answer, completionTokens, turns } = exchange;
      return {
        ...{ prompt: p, sample: g, messages: prompt.question.messages },
        answer: { reasoning_content: answer.reasoning, content: answer.content, tool_calls: answer.toolCalls },
        ...{ reward: run.reward, sub_rewards: run.subRewards, advantage: advantages_P_G[p]?.[g] },
        ...{
          completion_tokens: completionTokens,
          turns: turns.length,
          is_truncated: turns.at(-1)?.isTruncated === true,
        },
        logprob_mean: meanOf(turns.flatMap(({ logprobs }) => [...logprobs])),
        problems: run.problems.map(({ kind, message }) => ({ kind, message })),
      };
    }),
  );
}
