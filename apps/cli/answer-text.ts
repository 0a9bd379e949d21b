// An answer as a person reads it in a terminal.
//
// Owns the look: reasoning dimmed, a blank line before the answer, a note where it ended early. Pieces in, pieces out, so
// that text appears as it is generated. What a model writes never reaches the terminal as a control sequence.

import type { ChatEvent } from '@hadal/protocol/chat-event';
import { printable, type Terminal } from './terminal.ts';

/** The text of `events`, piece by piece, ending in a newline. */
export async function* answerText(
  events: AsyncIterable<ChatEvent>,
  terminal: Pick<Terminal, 'dim'>,
): AsyncGenerator<string, void, void> {
  const { dim } = terminal;
  let part: 'nothing' | 'reasoning' | 'content' = 'nothing';
  for await (const event of events) {
    switch (event.type) {
      case 'start':
        break;
      case 'reasoning':
        part = 'reasoning';
        yield dim(printable(event.text));
        break;
      case 'content':
        if (part === 'reasoning') yield '\n\n';
        part = 'content';
        yield printable(event.text);
        break;
      case 'tool-call':
        yield dim(`${part === 'nothing' ? '' : '\n'}${printable(event.name)} `);
        part = 'content';
        break;
      case 'tool-call-arguments':
        yield dim(printable(event.text));
        break;
      case 'finish':
        yield part === 'nothing' ? '' : '\n';
        yield dim(endNote(event.reason));
        break;
      default:
        unreachable(event);
    }
  }
}

function endNote(reason: Extract<ChatEvent, { type: 'finish' }>['reason']): string {
  switch (reason) {
    case 'stop':
    case 'tool_calls':
      return '';
    case 'length':
      return '(cut: no more tokens were allowed)\n';
    case 'content_filter':
      return '(cut: the rest was withheld)\n';
    case 'aborted':
      return '(stopped)\n';
    case 'insufficient_system_resource':
      return '(cut: the time was up)\n';
    default:
      return unreachable(reason);
  }
}

function unreachable(value: never): never {
  throw new Error(`expected a known event, got ${JSON.stringify(value)}`);
}
