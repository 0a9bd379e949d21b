// `hadal chat`: a conversation in the terminal.
//
// Owns the loop of lines and answers, and what Ctrl-C means in it: it stops the answer, never the program. Knows nothing
// about where answers come from.

import { RequestError } from '@hadal/protocol/request-error';
import { Command } from 'commander';
import { type AnswerOptions, addAnswerOptions, answerSettings, sourceOptions } from '../answer-options.ts';
import { openAnswerSource } from '../answer-source.ts';
import { answerText } from '../answer-text.ts';
import { timed, timingInWords } from '../answer-timing.ts';
import { Conversation } from '../conversation.ts';
import { exitCodes, reportFailure } from '../failure.ts';
import { type LineReader, openLineReader } from '../line-reader.ts';
import type { Terminal } from '../terminal.ts';

export function chatCommand(terminal: Terminal): Command {
  return addAnswerOptions(new Command('chat'))
    .description('Talk with a model')
    .addHelpText(
      'after',
      `
While it answers, Ctrl-C stops the answer. Ctrl-D or /exit leaves; /help lists what else can be said.

Examples:
  hadal chat
  hadal chat --no-think --system "Answer in Chinese."
  hadal chat --model runs/my-model/checkpoint
  hadal chat --url http://127.0.0.1:10935`,
    )
    .action(async (options: AnswerOptions) => {
      await using source = await openAnswerSource(sourceOptions(options), terminal);
      using lines = openLineReader();
      if (terminal.isInteractive) terminal.out(terminal.dim(`${source.description}. /help lists commands.\n\n`));
      const conversation = new Conversation(source, answerSettings(options), options.system);
      await runChat(conversation, lines, terminal);
    });
}

/** Reads lines and answers them until there are no more, or one of them says to leave. */
export async function runChat(conversation: Conversation, lines: LineReader, terminal: Terminal): Promise<void> {
  for (;;) {
    const line = await readMessage(lines);
    if (line === undefined) return;
    if (line === '') continue;
    if (line.startsWith('/')) {
      if (line === '/exit') return;
      terminal.out(terminal.dim(`${obey(line, conversation)}\n\n`));
      continue;
    }
    using interrupt = onInterrupt();
    try {
      const { events, timing } = timed(conversation.say(line, interrupt.signal));
      for await (const piece of answerText(events, terminal)) terminal.out(piece);
      if (terminal.isInteractive) terminal.out(terminal.dim(timingInWords(timing)));
    } catch (error) {
      // A conversation outlives one failed turn, such as a question that is too long.
      reportFailure(error, terminal.err, { withTrace: false });
      const isFull = error instanceof RequestError && error.code === 'context-exceeded';
      if (isFull) terminal.err('/new starts a new conversation.\n');
    }
    terminal.out('\n');
  }
}

const help = `/new           start a new conversation
/think on|off  reason before answering, or answer at once
/exit          leave, as Ctrl-D does
A line that ends in \\ goes on in the next one.`;

/** Does what a line that starts with a slash says, and returns what to tell the person. */
function obey(line: string, conversation: Conversation): string {
  switch (line.replace(/\s+/g, ' ')) {
    case '/help':
      return help;
    case '/new':
      conversation.forget();
      return 'A new conversation.';
    case '/think on':
      conversation.think('high');
      return 'It thinks before it answers.';
    case '/think off':
      conversation.think('off');
      return 'It answers at once.';
    default:
      return `${line} is not a command.\n${help}`;
  }
}

async function readMessage(lines: LineReader): Promise<string | undefined> {
  let message = '';
  for (let prompt = '> '; ; prompt = '… ') {
    const line = await lines.read(prompt);
    if (line === undefined) return message === '' ? undefined : message;
    if (!line.endsWith('\\')) return (message + line).trim();
    message += `${line.slice(0, -1)}\n`;
  }
}

/** The first Ctrl-C aborts the signal; a second one, when the answer will not stop, ends the program. */
function onInterrupt(): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const handler = () => {
    if (controller.signal.aborted) process.exit(exitCodes.interrupted);
    controller.abort();
  };
  process.on('SIGINT', handler);
  return { signal: controller.signal, [Symbol.dispose]: () => process.off('SIGINT', handler) };
}
