// `hadal`, under the pinned Node: reads the command line and runs one command.
//
// Owns the list of commands and what happens when one fails. Each command has a file of its own.

import { Command } from 'commander';
import { askCommand } from './commands/ask.ts';
import { backupCommand } from './commands/backup.ts';
import { chatCommand } from './commands/chat.ts';
import { convertCommand } from './commands/convert.ts';
import { doctorCommand } from './commands/doctor.ts';
import { evalCommand } from './commands/eval.ts';
import { inspectCommand } from './commands/inspect.ts';
import { keysCommand } from './commands/keys.ts';
import { organizationsCommand } from './commands/organizations.ts';
import { restoreCommand } from './commands/restore.ts';
import { serveCommand } from './commands/serve.ts';
import { trainCommand } from './commands/train.ts';
import { auditCommand, usageCommand } from './commands/usage.ts';
import { verifyCommand } from './commands/verify.ts';
import { reportFailure } from './failure.ts';
import packageJson from './package.json' with { type: 'json' };
import { processTerminal } from './terminal.ts';

const terminal = processTerminal();
const program = new Command('hadal')
  .description('Train, evaluate, serve and talk with DeepSeek-family models on your own machine.')
  .usage('<command> [options]')
  .version(packageJson.version)
  .showHelpAfterError('(hadal --help lists the commands)')
  .addHelpText(
    'after',
    `
\`hadal <command> --help\` has examples of each.

Exit status: 0 done, 1 failed, 2 called the wrong way, 130 interrupted.`,
  );
const commands = [
  chatCommand,
  askCommand,
  serveCommand,
  keysCommand,
  organizationsCommand,
  usageCommand,
  auditCommand,
  inspectCommand,
  doctorCommand,
  convertCommand,
  trainCommand,
  evalCommand,
  verifyCommand,
  backupCommand,
  restoreCommand,
];
for (const create of commands) {
  const command = create(terminal);
  const advice = `(hadal ${command.name()} --help has examples)`;
  for (const one of [command, ...command.commands]) one.showHelpAfterError(advice).exitOverride();
  program.addCommand(command);
}

try {
  await program.exitOverride().parseAsync();
} catch (error) {
  process.exitCode = reportFailure(error, terminal.err, { withTrace: process.env.HADAL_TRACE === '1' });
}
