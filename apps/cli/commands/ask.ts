// `hadal ask`: one question, one answer.
//
// Made for pipes: standard output carries the answer and nothing else, unless a person watches it, who also sees the
// reasoning. Text piped in is added to the question.

import { fstatSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { wireUsage } from '@hadal/protocol/chat-completions-response';
import type { FinishReason, Usage } from '@hadal/protocol/chat-event';
import { Command } from 'commander';
import { type AnswerOptions, addAnswerOptions, answerSettings, sourceOptions } from '../answer-options.ts';
import { openAnswerSource } from '../answer-source.ts';
import { answerText } from '../answer-text.ts';
import { timed } from '../answer-timing.ts';
import { Conversation } from '../conversation.ts';
import { exitCodes, UsageError } from '../failure.ts';
import type { Terminal } from '../terminal.ts';

export function askCommand(terminal: Terminal): Command {
  return addAnswerOptions(new Command('ask'))
    .description('Ask one question and print the answer')
    .argument('[question...]', 'what to ask; text piped in is added to it')
    .option('--json', 'print one JSON object with the answer, the reasoning, token counts and times')
    .addHelpText(
      'after',
      `
Examples:
  hadal ask "9.11 and 9.8, which is greater?"
  hadal ask --no-think "How many Rs are there in the word 'strawberry'?"
  hadal ask "Which total does this message name?" < message.txt
  hadal ask --json --temperature 0 "17 * 23 = ?" | jq -r .content`,
    )
    .action((words: string[], options: AnswerOptions & { json?: true }) => ask(words, options, terminal));
}

async function ask(words: readonly string[], options: AnswerOptions & { json?: true }, terminal: Terminal) {
  const question = [words.join(' '), await pipedText()].filter((part) => part !== '').join('\n\n');
  if (question === '') throw new UsageError('nothing to ask: hadal ask "your question", or pipe it in');

  await using source = await openAnswerSource(sourceOptions(options), terminal);
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  const conversation = new Conversation(source, answerSettings(options), options.system);
  const { events, timing } = timed(conversation.say(question, controller.signal));
  if (terminal.isInteractive && !options.json) {
    for await (const piece of answerText(events, terminal)) terminal.out(piece);
  } else {
    let content = '';
    let reasoning = '';
    let finish: { reason: FinishReason; usage: Usage } | undefined;
    for await (const event of events) {
      if (event.type === 'reasoning') reasoning += event.text;
      if (event.type === 'finish') finish = event;
      if (event.type !== 'content') continue;
      content += event.text;
      if (!options.json) terminal.out(event.text);
    }
    if (finish === undefined) throw new Error(`${source.description}: the answer broke off`);
    if (options.json) {
      const { reason: finish_reason, usage } = finish;
      const answer = { model: source.model, content, reasoning_content: reasoning, finish_reason };
      const { firstTokenMs, tokensPerSecond } = timing;
      const speed = {
        time_to_first_token_ms: firstTokenMs === undefined ? null : Math.round(firstTokenMs),
        tokens_per_second: tokensPerSecond === undefined ? null : Number(tokensPerSecond.toPrecision(3)),
      };
      terminal.out(`${JSON.stringify({ ...answer, usage: wireUsage(usage), ...speed })}\n`);
    } else {
      terminal.out('\n');
      if (finish.reason === 'length') terminal.err('hadal: the answer was cut: no more tokens were allowed\n');
    }
  }
  if (controller.signal.aborted) process.exitCode = exitCodes.interrupted;
}

/** What is piped in, if anything is: a terminal or /dev/null has nothing to add. */
async function pipedText(): Promise<string> {
  const kind = fstatSync(0);
  return kind.isFIFO() || kind.isFile() || kind.isSocket() ? (await text(process.stdin)).trim() : '';
}
