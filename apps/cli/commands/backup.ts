// `hadal backup`: all that the server keeps, as one file.
//
// Owns how it is asked for and told. What is in the file, and that it is whole, is the store's.

import { Command } from 'commander';
import { storePlace } from '../data-directory.ts';
import { bytesInWords } from '../quantities.ts';
import { openRowProgress, rowsInWords } from '../row-progress.ts';
import type { Terminal } from '../terminal.ts';

export function backupCommand(terminal: Terminal): Command {
  return new Command('backup')
    .description('Copy files, batches, keys, usage and all else that is kept into one file, while the server runs')
    .argument('<file>', 'the file to write')
    .option('--replace', 'where there is such a file already, put the backup in its place')
    .addHelpText(
      'after',
      `
The file holds everything as it was at one moment, and is checked before it has its name. The store is the file in
HADAL_HOME, or the PostgreSQL database that DATABASE_URL names; hadal restore puts it back into either. Cached prompts are
not part of it.

Examples:
  hadal backup hadal-monday.backup
  hadal backup --replace /backups/hadal-latest
  DATABASE_URL=postgres://hadal@db.example/hadal hadal backup hadal-monday.backup`,
    )
    .action((file: string, options: { replace?: true }) => backup(file, options, terminal));
}

async function backup(file: string, options: { readonly replace?: true }, terminal: Terminal): Promise<void> {
  const { backupStore } = await import('@hadal/store/backup');
  const { bytes, tables } = await (async () => {
    using progress = openRowProgress('backing up', terminal);
    const existing = options.replace ? 'replace' : 'refuse';
    return await backupStore(storePlace(), file, { existing, onProgress: progress.show });
  })();
  terminal.out(`${file}: ${bytesInWords(bytes)}, ${rowsInWords(tables)}, checked\n`);
}
