// How far a copy of the store is, and what was copied.
//
// Owns the words; the line that shows them is overwritten and goes away. Knows nothing of what a row is.

import type { RowProgress, TableMeasure } from '@hadal/store/store-contents';
import { countInWords } from './quantities.ts';
import type { Terminal } from './terminal.ts';

export interface RowProgressLine extends Disposable {
  readonly show: (progress: RowProgress) => void;
}

const everyMs = 200;

/** Silent where standard error is no terminal, and for what is over at once. */
export function openRowProgress(
  label: string,
  terminal: Terminal,
  now: () => number = () => performance.now(),
): RowProgressLine {
  const startMs = now();
  let shownMs = startMs;
  return {
    show({ doneRows, totalRows }) {
      if (!terminal.showsProgress || now() - shownMs < everyMs) return;
      shownMs = now();
      // Each row is read more than once, so how many there are is nobody's business here.
      const percent = totalRows === 0 ? 100 : Math.floor((doneRows / totalRows) * 100);
      terminal.err(`\r\u001b[K${label}: ${percent} %`);
    },
    [Symbol.dispose]() {
      if (shownMs > startMs) terminal.err('\r\u001b[K');
    },
  };
}

/** `1,204 rows (files 3, batches 1)`: the tables that others belong to. */
export function rowsInWords(tables: readonly TableMeasure[]): string {
  const all = tables.reduce((sum, { rows }) => sum + rows, 0);
  const named = tables.filter(({ table, rows }) => rows > 0 && !table.includes('_'));
  const parts = named.map(({ table, rows }) => `${table} ${rows.toLocaleString('en')}`).join(', ');
  return `${countInWords(all)} ${all === 1 ? 'row' : 'rows'}${parts === '' ? '' : ` (${parts})`}`;
}
