// Distillation: a student learns what a teacher says, or what it would have expected.
//
// The loops of a job, to be read from top to bottom. By sequence (Kim & Rush 2016, arXiv 1606.07947; DeepSeek-R1, section 2.4):
// the teacher's answers, of which a grader keeps the good ones, are learned as any documents are. By logits: the student is drawn
// towards the teacher's distribution in every place of an answer, the teacher's own or, on policy, the student's (Agarwal et al.
// 2023, arXiv 2306.13649). In the end both answer held-out prompts side by side.

import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import type { ChatMessage } from '@hadal/formats/chat/message';
import type { Divergence, DivergenceShape } from '@hadal/kernels/divergence';
import type { LogitsOptions, TrainingMethod } from '@hadal/protocol/training-order';
import { compare } from './comparison.ts';
import { type Candidate, converse, greedyExchange } from './exchange.ts';
import { isSound } from './graders/grader.ts';
import type { Sample } from './graders/sample.ts';
import { askedAtOnce, inFlight } from './in-flight.ts';
import { conversationDocument, learnedTokens } from './jobs/conversation-documents.ts';
import { EpochOrder } from './jobs/epoch-order.ts';
import type { AnsweredRow } from './jobs/job-data.ts';
import type { JobPosition } from './jobs/job-directory.ts';
import { JobFailure } from './jobs/job-failure.ts';
import type { JobRun } from './jobs/job-run.ts';
import { type Judge, noteGradings } from './jobs/judge.ts';
import type { TrainingPrompt } from './jobs/prompts.ts';
import { jobRowTokens, packDocuments, type TrainingDocument, tokenCount } from './packing.ts';
import { meanOf } from './policy-objective.ts';
import { sampledDocuments } from './rollouts.ts';
import { supervised } from './supervised.ts';
import { Random } from './tasks/random.ts';
import type { Teacher, TeacherScoring } from './teacher.ts';

export type Distillation = Extract<TrainingMethod, { type: 'distillation' }>;

export interface DistillationData {
  /** Prompts for the teacher, or for the student on policy. */
  readonly prompts: readonly TrainingPrompt[];
  /** Conversations in which the teacher has answered already. */
  readonly answered: readonly AnsweredRow[];
  readonly heldOut: readonly TrainingPrompt[];
  readonly teacher: Teacher;
  readonly judge: Judge | undefined;
}

/** Where a teacher's answers are kept, in the job's directory. */
export const teacherAnswers = 'teacher-answers.jsonl';

/** Runs the job from `at` until it is done or is to stop. Returns where it stands then. */
export async function distill(job: JobRun, method: Distillation, data: DistillationData, at: JobPosition) {
  if (method.objective === 'logits') return await distillLogits(job, method, data, at);
  const taught =
    method.source === 'stored_completions'
      ? await goodAnswers(job, method, data, at)
      : await teach(job, method, data, at);
  // Not all that there is to learn from is there, and of that nothing may be learned.
  if (job.isStopping) return at;
  if (taught.length === 0) throw noAnswers();
  at = await supervised(job, method, { documents: taught, heldOut: [] }, at);
  job.refreshEngine();
  if (job.isDone(at)) await compare(job, data, method);
  return at;
}

function noAnswers(): JobFailure {
  return new JobFailure('no_answers', 'no answer of the teacher was good enough to learn from');
}

/** The teacher's answers as documents; kept as they come, so that none is asked for twice. */
async function teach(
  job: JobRun,
  method: Distillation,
  { prompts, teacher, judge }: DistillationData,
  at: JobPosition,
) {
  const file = job.directory.at(teacherAnswers);
  const { samplesPerPrompt, minScore = 1 } = method;
  // Lines that were written before whole exchanges were kept lack what tools have said: these are asked for again.
  const known = new Map(
    readLines<TaughtLine>(file, (line) => 'said' in line).map((line) => [`${line.prompt}/${line.sample}`, line]),
  );
  const wanted = prompts.flatMap((_, prompt) =>
    Array.from({ length: samplesPerPrompt }, (_, sample) => ({ prompt, sample })),
  );
  const missing = wanted.filter(({ prompt, sample }) => !known.has(`${prompt}/${sample}`));
  let untold: TaughtLine[] = [];
  // Some fifty messages for however many answers.
  const toldAtOnce = Math.max(askedAtOnce, Math.ceil(missing.length / 50));
  const tell = () => {
    const lines = untold;
    untold = [];
    noteGradings(job, lines);
    if (lines.length > 0) job.note(`${teacher.name} has answered ${known.size} of ${wanted.length} times`);
  };
  await inFlight(missing, askedAtOnce, async ({ prompt, sample }) => {
    if (job.isStopping) return;
    job.checkTime(at);
    const { question, item } = prompts[prompt] as TrainingPrompt;
    const seed = new Random(`${job.order.seed}/teacher/${prompt}/${sample}`).integer(0, 2 ** 32 - 1);
    // One answer is the teacher's best; of several, each is to be another.
    const temperature = samplesPerPrompt === 1 ? 0 : 1;
    const options = { ...greedyExchange, temperature, seed, maxTokens: method.maxCompletionTokens };
    const { sample: answer, said } = await teacher.answer(question, options);
    const run = await judge?.(item, answer);
    const graded = { score: run?.reward ?? null, problems: run?.problems ?? [] };
    const line: TaughtLine = { prompt, sample, answer, said, ...graded };
    // At once: it was paid for, whatever becomes of the others.
    appendFileSync(file, `${JSON.stringify(line)}\n`);
    known.set(`${prompt}/${sample}`, line);
    untold.push(line);
    if (untold.length >= toldAtOnce) tell();
  });
  tell();
  // What was cut off teaches not to come to an end.
  const kept = [...known.values()].filter((line) => !line.answer.isTruncated && isGoodEnough(line, minScore));
  job.note(`${kept.length} of ${known.size} answers of ${teacher.name} are learned`);
  return kept
    .sort((a, b) => a.prompt - b.prompt || a.sample - b.sample)
    .map(({ prompt, said }) => answeredDocument(job, (prompts[prompt] as TrainingPrompt).question, said))
    .filter((document) => learnedTokens(document) > 0);
}

/** Of answers that are there already those that the grader gives enough; its gradings are kept as they come. */
async function goodAnswers(
  job: JobRun,
  { minScore = 1 }: Distillation,
  { answered, judge }: DistillationData,
  at: JobPosition,
): Promise<TrainingDocument[]> {
  if (!judge) return answered.map(({ document }) => document);
  const file = job.directory.at('gradings.jsonl');
  const known = new Map(readLines<GradedLine>(file).map((line) => [line.row, line]));
  const missing = answered.flatMap((row, index) => (known.has(index) ? [] : [{ row, index }]));
  await inFlight(missing, askedAtOnce, async ({ row: { item, sample }, index }) => {
    if (job.isStopping) return;
    job.checkTime(at);
    const { reward: score, problems } = await judge(item, sample);
    const line: GradedLine = { row: index, score, problems };
    appendFileSync(file, `${JSON.stringify(line)}\n`);
    known.set(index, line);
  });
  noteGradings(job, [...known.values()]);
  const kept = answered.filter((_, index) => {
    const line = known.get(index);
    return line !== undefined && isGoodEnough(line, minScore);
  });
  job.note(`${kept.length} of ${answered.length} stored answers are learned`);
  return kept.map(({ document }) => document);
}

interface GradedLine extends Graded {
  readonly row: number;
}

interface TaughtLine extends Graded {
  readonly prompt: number;
  readonly sample: number;
  readonly answer: Sample;
  readonly said: readonly ChatMessage[];
}

interface Graded {
  readonly score: number | null;
  readonly problems: Awaited<ReturnType<Judge>>['problems'];
}

/** A grading that failed says nothing of the answer, least of all that it is good. */
function isGoodEnough({ score, problems }: Graded, minScore: number): boolean {
  return isSound({ problems }) && (score === null || score >= minScore);
}

/** Those that are whole, of the shape that `isOne` knows. What is written next begins on a line of its own. */
function readLines<T extends object>(file: string, isOne: (line: object) => boolean = () => true): T[] {
  if (!existsSync(file)) return [];
  const text = readFileSync(file, 'utf8');
  if (!text.endsWith('\n')) appendFileSync(file, '\n');
  return text.split('\n').flatMap((line) => {
    try {
      const value = line === '' ? undefined : (JSON.parse(line) as T);
      return value !== undefined && isOne(value) ? [value] : [];
    } catch {
      return []; // the last line of a process that was killed while writing it
    }
  });
}

/** Of all that is said after the question the assistant's part is learned, whatever tools have told it meanwhile. */
function answeredDocument(
  job: JobRun,
  { messages, thinking, tools }: TrainingPrompt['question'],
  said: readonly ChatMessage[],
): TrainingDocument {
  const isLearned = [...messages.map(() => false), ...said.map(({ role }) => role === 'assistant')];
  const conversation = { messages: [...messages, ...said], thinking, tools, isLearned };
  return conversationDocument(conversation, job.renderer, job.contextLength);
}

/** Steps on answers of the student, or of the teacher, whose places the teacher has scored. */
async function distillLogits(job: JobRun, method: Distillation, data: DistillationData, at: JobPosition) {
  const { prompts, teacher } = data;
  const { scoring } = teacher;
  if (!scoring)
    throw new JobFailure('teacher_without_logits', `${teacher.name}: only its words can be had, not what it expects`);
  const shape = divergenceShape(method.logits);
  const isStored = method.source === 'stored_completions';
  const answered = isStored ? await goodAnswers(job, method, data, at) : [];
  if (job.isStopping) return at;
  if (isStored && answered.length === 0) throw noAnswers();
  const { batchSize } = job.settleEpochs(method, isStored ? answered.length : prompts.length);
  const order = new EpochOrder(isStored ? answered.length : prompts.length, `${job.order.seed}/prompts`);
  while (job.goesOn(at)) {
    const places = Array.from({ length: batchSize }, (_, i) => order.at(at.next + i));
    const documents = isStored
      ? places.map((place) => answered[place] as TrainingDocument)
      : await answers(
          places.map((place) => prompts[place] as TrainingPrompt),
          at.step,
        );
    const { rows } = packDocuments(
      documents.filter((document) => learnedTokens(document) > 0),
      jobRowTokens,
    );
    const teachers = await Promise.all(
      rows.map(async (row) => {
        const scored = await Promise.all(
          row.documents.map((document) => scoredTargets(scoring, document, method.logits)),
        );
        return {
          ids: joined(
            Int32Array,
            scored.map(({ ids }) => ids),
          ),
          logprobs: joined(
            Float32Array,
            scored.map((one) => one.logprobs),
          ),
        };
      }),
    );
    const teacherOf = (row: number) => teachers[row] as (typeof teachers)[number];
    const measured = rows.length > 0 ? job.update(at, rows, { type: 'divergence', shape, teacherOf }) : undefined;
    const next: JobPosition = {
      ...{ ...at, step: at.step + 1, update: at.update + Number(rows.length > 0), next: at.next + batchSize },
      trainedTokens: at.trainedTokens + tokenCount(rows),
    };
    job.refreshEngine();
    at = await job.finishStep(next, {
      ...(measured && { loss: measured.loss, grad_norm: measured.gradientNorm }),
      'completions/mean_length': meanOf(documents.map(learnedTokens)),
    });
  }
  if (job.isDone(at)) await compare(job, data, method);
  return at;

  /** Answers to be learned from: on policy the student's. */
  async function answers(asked: readonly TrainingPrompt[], step: number): Promise<TrainingDocument[]> {
    const random = new Random(`${job.order.seed}/answers/${step}`);
    const isOnPolicy = method.source === 'on_policy' && random.chance(method.onPolicyFraction);
    const who: Candidate = isOnPolicy ? job.candidate : (scoring as TeacherScoring).candidate;
    const seeds = asked.map(() => random.integer(0, 2 ** 32 - 1));
    const exchanges = await Promise.all(
      asked.map(({ question }, i) => {
        const options = {
          ...greedyExchange,
          temperature: 1,
          seed: seeds[i] as number,
          maxTokens: method.maxCompletionTokens,
        };
        return converse(who, question, { ...options, isScored: true });
      }),
    );
    return exchanges.flatMap((exchange) => sampledDocuments(exchange).map(({ document }) => document));
  }
}

/** What the teacher expected in the places of a document's supervised tokens, in order. */
async function scoredTargets(
  scoring: TeacherScoring,
  { tokens, weights }: TrainingDocument,
  { topK, temperature, tail }: LogitsOptions,
) {
  const first = Math.max(
    1,
    weights.findIndex((weight, i) => i > 0 && weight > 0),
  );
  const all = await scoring.topTokens(tokens, first, topK);
  const wanted = weights.flatMap((weight, i) => (i >= first && weight > 0 ? [i - first] : []));
  const ids = new Int32Array(wanted.length * topK);
  const logprobs = new Float32Array(wanted.length * topK);
  for (const [row, place] of wanted.entries()) {
    ids.set(all.ids.subarray(place * topK, (place + 1) * topK), row * topK);
    logprobs.set(all.logprobs.subarray(place * topK, (place + 1) * topK), row * topK);
  }
  // Exact where the rest of the teacher's distribution is left out; with a tail the temperature is 1.
  return { ids, logprobs: tail === 'renormalize' ? logprobs.map((value) => value / temperature) : logprobs };
}

function divergenceShape({ divergence, jsdBeta, tail, temperature }: LogitsOptions): DivergenceShape {
  const kind: Divergence = divergence === 'jsd' ? { kind: 'jsd', beta: jsdBeta } : { kind: divergence };
  return { divergence: kind, rest: tail === 'bucket' ? 'tail' : 'renormalize', temperature };
}

function joined<T extends Int32Array | Float32Array>(make: new (length: number) => T, parts: readonly T[]): T {
  const whole = new make(parts.reduce((sum, { length }) => sum + length, 0));
  let begin = 0;
  for (const part of parts) {
    whole.set(part, begin);
    begin += part.length;
  }
  return whole;
}
