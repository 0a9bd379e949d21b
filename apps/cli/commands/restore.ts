// `hadal restore`: a backup, back in the store.
//
// Owns how it is asked for and told. What a file must be to be trusted, and that the store changes all at once or not at all,
// is the store's.

import { Command } from 'commander';
import { storePlace } from '../data-directory.ts';
import { openRowProgress, rowsInWords } from '../row-progress.ts';
import type { Terminal } from '../terminal.ts';

export function restoreCommand(terminal: Terminal): Command {
  return new Command('restore')
    .description('Put what hadal backup wrote back into the store')
    .argument('<file>', 'the file that hadal backup wrote')
    .option('--replace', 'where the store is not empty, put the backup in the place of what it has')
    .addHelpText(
      'after',
      `
The file is checked first, and what is in the store is compared with it in the end. All of it is there then, or the store is
as it was. The store is the file in HADAL_HOME, or the PostgreSQL database that DATABASE_URL names, whichever the backup was
made of. Stop the server before: it would go on with work that is no longer there.

Examples:
  hadal restore hadal-monday.backup
  hadal restore --replace hadal-monday.backup
  DATABASE_URL=postgres://hadal@db.example/hadal hadal restore hadal-monday.backup`,
    )
    .action((file: string, options: { replace?: true }) => restore(file, options, terminal));
}

async function restore(file: string, options: { readonly replace?: true }, terminal: Terminal): Promise<void> {
  const { restoreStore } = await import('@hadal/store/restore');
  const { madeMs, tables, replacedRows } = await (async () => {
    using progress = openRowProgress('restoring', terminal);
    const existing = options.replace ? 'replace' : 'refuse';
    return await restoreStore(file, storePlace(), { existing, onProgress: progress.show });
  })();
  const replaced = replacedRows > 0 ? `, in the place of ${replacedRows.toLocaleString('en')} rows` : '';
  terminal.out(
    `${file}, of ${new Date(madeMs).toISOString()}: ${rowsInWords(tables)} restored and compared${replaced}\n`,
  );
}
