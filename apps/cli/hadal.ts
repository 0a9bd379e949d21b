// `hadal`, under the pinned Node: reads the command line and runs one command.
//
// Owns the list of commands and what happens when one fails. Each command has a file of its own, which is read when that command is
// asked for: a server holds in memory what it was started with. Help, and a name that is none, need all of them.

import { Command } from 'commander';
import { reportFailure } from './failure.ts';
import packageJson from './package.json' with { type: 'json' };
import { processTerminal, type Terminal } from './terminal.ts';

/** By name, in the order of the help. */
const commands: Readonly<Record<string, () => Promise<(terminal: Terminal) => Command>>> = {
  chat: async () => (await import('./commands/chat.ts')).chatCommand,
  ask: async () => (await import('./commands/ask.ts')).askCommand,
  serve: async () => (await import('./commands/serve.ts')).serveCommand,
  keys: async () => (await import('./commands/keys.ts')).keysCommand,
  organizations: async () => (await import('./commands/organizations.ts')).organizationsCommand,
  usage: async () => (await import('./commands/usage.ts')).usageCommand,
  audit: async () => (await import('./commands/usage.ts')).auditCommand,
  inspect: async () => (await import('./commands/inspect.ts')).inspectCommand,
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand,
  convert: async () => (await import('./commands/convert.ts')).convertCommand,
  jobs: async () => (await import('./commands/jobs.ts')).jobsCommand,
  train: async () => (await import('./commands/train.ts')).trainCommand,
  'train-job': async () => (await import('./commands/train-job.ts')).trainJobCommand,
  curves: async () => (await import('./commands/curves.ts')).curvesCommand,
  eval: async () => (await import('./commands/eval.ts')).evalCommand,
  verify: async () => (await import('./commands/verify.ts')).verifyCommand,
  backup: async () => (await import('./commands/backup.ts')).backupCommand,
  restore: async () => (await import('./commands/restore.ts')).restoreCommand,
  deploy: async () => (await import('./commands/deploy.ts')).deployCommand,
};

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
const [asked = ''] = process.argv.slice(2);
const wanted = Object.entries(commands).filter(([name]) => name === asked || !Object.hasOwn(commands, asked));
for (const [, load] of wanted) {
  const create = await load();
  const command = create(terminal);
  const advice = `(hadal ${command.name()} --help has examples)`;
  for (const one of [command, ...command.commands]) one.showHelpAfterError(advice).exitOverride();
  // What the server starts by itself is no command for people.
  program.addCommand(command, { hidden: command.name() === 'train-job' });
}

try {
  await program.exitOverride().parseAsync();
} catch (error) {
  process.exitCode = reportFailure(error, terminal.err, { withTrace: process.env.HADAL_TRACE === '1' });
}
