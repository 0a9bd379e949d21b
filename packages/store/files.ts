// Files that callers have given, or that were made for them.
//
// Owns their bytes, in chunks, and what is known of them. Its size is written last: what has none is no file yet, and is swept
// away when nobody can be writing it any more. Content is read chunk by chunk, so that no file is ever whole in memory. Knows nothing of what files are for.

import type { ExpressionBuilder, Kysely, Selectable } from 'kysely';
import { type Page, type PageQuery, readPage } from './page.ts';
import type { FilesTable, Tables } from './tables.ts';

export interface StoredFile {
  readonly id: string;
  readonly owner: string;
  readonly filename: string;
  readonly purpose: string;
  readonly mimeType: string;
  readonly bytes: number;
  readonly createdMs: number;
  /** undefined: stays until it is deleted. */
  readonly expiresMs: number | undefined;
}

/** What is known of a file before its content. */
export type FileHead = Pick<StoredFile, 'id' | 'owner' | 'createdMs'>;
/** What may be known only after it: callers send it in any order. */
export type FileDescription = Pick<StoredFile, 'filename' | 'purpose' | 'mimeType' | 'expiresMs'>;

const chunkBytes = 1024 * 1024;
/** No upload takes longer. */
const uploadMs = 3600_000;

export class Files {
  readonly #db: Kysely<Tables>;
  readonly #now: () => number;

  constructor(db: Kysely<Tables>, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  /**
   * Writes a file, instead of one of the same id. `describe` is called when `content` has ended. Nothing is left of one for
   * which either fails.
   */
  async write(
    { id, owner, createdMs }: FileHead,
    content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    describe: () => FileDescription,
  ): Promise<StoredFile> {
    await this.delete(owner, id);
    const undescribed = { filename: '', purpose: '', mime_type: '', expires_ms: null };
    await this.#db
      .insertInto('files')
      .values({ id, owner, created_ms: createdMs, ...undescribed })
      .execute();
    try {
      let bytes = 0;
      let number = 0;
      for await (const data of chunked(content)) {
        await this.#db.insertInto('file_chunks').values({ file_id: id, number, data }).execute();
        number++;
        bytes += data.length;
      }
      const { filename, purpose, mimeType, expiresMs } = describe();
      await this.#db
        .updateTable('files')
        .set({ filename, purpose, mime_type: mimeType, expires_ms: expiresMs ?? null, bytes })
        .where('id', '=', id)
        .execute();
      return { id, owner, createdMs, filename, purpose, mimeType, expiresMs, bytes };
    } catch (error) {
      await this.delete(owner, id);
      throw error;
    }
  }

  async find(owner: string, id: string): Promise<StoredFile | undefined> {
    const row = await this.#db
      .selectFrom('files')
      .selectAll()
      .where('id', '=', id)
      .where('owner', '=', owner)
      .where(this.#isThere)
      .executeTakeFirst();
    return row && fileOf(row);
  }

  /** The bytes of a file that was found. Ends early, with an error, where it is deleted meanwhile. */
  async *read({ id, bytes }: StoredFile): AsyncGenerator<Uint8Array, void, void> {
    let read = 0;
    for (let number = 0; read < bytes; number++) {
      const chunk = await this.#db
        .selectFrom('file_chunks')
        .select('data')
        .where('file_id', '=', id)
        .where('number', '=', number)
        .executeTakeFirst();
      if (chunk === undefined) throw new Error(`file ${id}: expected ${bytes} bytes, found ${read}: it was deleted`);
      read += chunk.data.length;
      yield chunk.data;
    }
  }

  /** Of one purpose, or of all. undefined where the row that the page goes on from does not exist. */
  async list(query: PageQuery & { readonly purpose?: string | undefined }): Promise<Page<StoredFile> | undefined> {
    const page = await readPage(this.#db, 'files', query, (row) =>
      row.and([this.#isThere(row), ...(query.purpose === undefined ? [] : [row('purpose', '=', query.purpose)])]),
    );
    return page && { rows: page.rows.map(fileOf), hasMore: page.hasMore };
  }

  /** Whether there was one. */
  async delete(owner: string, id: string): Promise<boolean> {
    const query = this.#db.deleteFrom('files').where('id', '=', id).where('owner', '=', owner);
    const { numDeletedRows } = await query.executeTakeFirst();
    return numDeletedRows > 0n;
  }

  /** How much there is of an owner's. */
  async total(owner: string): Promise<{ readonly count: number; readonly bytes: number }> {
    const { count, bytes } = await this.#db
      .selectFrom('files')
      .select(({ fn }) => [fn.countAll<number>().as('count'), fn.sum<number | null>('bytes').as('bytes')])
      .where('owner', '=', owner)
      .where(this.#isThere)
      .executeTakeFirstOrThrow();
    return { count: Number(count), bytes: Number(bytes ?? 0) };
  }

  /** Removes what has expired, and what is left of uploads whose process has died. */
  async sweep(): Promise<void> {
    const nowMs = this.#now();
    await this.#db
      .deleteFrom('files')
      .where((row) =>
        row.or([
          row('expires_ms', '<=', nowMs),
          row.and([row('bytes', 'is', null), row('created_ms', '<', nowMs - uploadMs)]),
        ]),
      )
      .execute();
  }

  /** Finished, and not expired. */
  readonly #isThere = (row: ExpressionBuilder<Tables, 'files'>) =>
    row.and([
      row('bytes', 'is not', null),
      row.or([row('expires_ms', 'is', null), row('expires_ms', '>', this.#now())]),
    ]);
}

function fileOf(row: Selectable<FilesTable>): StoredFile {
  return {
    ...{ id: row.id, owner: row.owner, filename: row.filename, purpose: row.purpose, mimeType: row.mime_type },
    ...{ bytes: row.bytes ?? 0, createdMs: row.created_ms, expiresMs: row.expires_ms ?? undefined },
  };
}

/** The same bytes in chunks of one size, the last one aside. */
async function* chunked(
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  let pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of content) {
    for (let rest = piece; rest.length > 0; ) {
      const taken = rest.subarray(0, chunkBytes - length);
      pieces.push(taken);
      length += taken.length;
      rest = rest.subarray(taken.length);
      if (length < chunkBytes) continue;
      yield Buffer.concat(pieces);
      [pieces, length] = [[], 0];
    }
  }
  if (length > 0) yield Buffer.concat(pieces);
}
