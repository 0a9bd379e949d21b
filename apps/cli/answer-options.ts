// The options of the commands that ask a model: which one, and how it should answer.
//
// Owns their names, ranges and help, so that `chat` and `ask` cannot drift apart. Knows nothing about what is asked.

import { type Command, Option } from 'commander';
import type { AnswerSettings, SourceOptions } from './answer-source.ts';
import { integerFrom, numberFrom, serverUrl } from './option-parsers.ts';

export interface AnswerOptions {
  readonly model?: string;
  readonly url?: URL;
  readonly apiKey?: string;
  readonly threads?: number;
  readonly think: boolean;
  readonly system?: string;
  readonly temperature?: number;
  readonly topP?: number;
  readonly maxTokens?: number;
  readonly seed?: number;
}

export function addAnswerOptions(command: Command): Command {
  return command
    .option('-m, --model <path>', 'the checkpoint to open; with --url, the name of one of its models')
    .option('--url <address>', 'ask a running server instead of opening a model', serverUrl)
    .addOption(new Option('--api-key <key>', 'what that server asks for').env('HADAL_API_KEY'))
    .option('--threads <number>', 'processor threads to compute with', integerFrom(1, 1024))
    .option('--no-think', 'answer at once, without reasoning')
    .option('--system <text>', 'instructions that come before the conversation')
    .option('-t, --temperature <number>', '0 always takes the likeliest token', numberFrom(0, 2))
    .option('--top-p <number>', 'sample from the likeliest tokens of this total probability', numberFrom(0.001, 1))
    .option('--max-tokens <number>', 'the longest answer, reasoning included', integerFrom(1))
    .option('--seed <number>', 'the same seed gives the same answer', integerFrom(0));
}

export function sourceOptions({ model, url, threads, apiKey }: AnswerOptions): SourceOptions {
  return { model, url, threads, apiKey };
}

export function answerSettings({ think, temperature, topP, maxTokens, seed }: AnswerOptions): AnswerSettings {
  return { thinking: think ? 'high' : 'off', temperature, topP, maxTokens, seed };
}
