// The directory of packed weights while it is being made.
//
// It grows under another name, NAME.partial, with a journal of the shards that are whole, and gets its own name in one rename
// when all is there. So whatever moment the process dies at, nothing under the final name is incomplete. Going on reads the
// finished shards again, keeps those that are what the journal says, and removes everything else.

import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Checkpoint } from '@hadal/formats/checkpoint';
import { replaceFile, syncDirectory } from '@hadal/formats/replace-file';
import {
  type Identity,
  isSameConversion,
  journalName,
  manifestName,
  type PackedShard,
  readJournal,
  readManifest,
} from './manifest.ts';

/** Whether `out` is the finished directory; throws one line when there is anything else. */
export function isConverted(out: string, identity: Identity): boolean {
  if (!existsSync(out)) return false;
  if (!statSync(out).isDirectory()) throw new Error(`${out}: expected nothing there, found a file`);
  const names = readdirSync(out);
  if (names.length === 0) return false;
  const found = readManifest(out);
  if (found && isSameConversion(found, identity)) {
    // Left when the process died between the last two calls of `finish`.
    rmSync(join(out, journalName), { force: true });
    return true;
  }
  const what = found ? `${found.source.name} in ${found.dtype}, converted earlier` : `other files (${names[0]})`;
  throw new Error(`${out}: expected nothing there, found ${what}`);
}

export class ConversionDirectory {
  /** Where the shards are written. */
  readonly path: string;
  readonly #out: string;
  readonly #identity: Identity;
  readonly #shards = new Map<string, PackedShard>();

  private constructor(out: string, identity: Identity) {
    this.path = `${resolve(out)}.partial`;
    this.#out = resolve(out);
    this.#identity = identity;
  }

  /**
   * Makes the directory, or finds what an interrupted conversion left in it: of `planned`, the shards that are whole. Throws
   * one line when something else is there.
   */
  static async open(out: string, identity: Identity, planned: readonly { file: string; bytes: number }[]) {
    const directory = new ConversionDirectory(out, identity);
    const { path } = directory;
    mkdirSync(path, { recursive: true });
    const journal = readJournal(path);
    const isOurs = journal ? isSameConversion(journal, identity) : readdirSync(path).length === 0;
    if (!isOurs) {
      const what = journal ? `${journal.source.name} in ${journal.dtype}, unfinished` : 'other files';
      throw new Error(`${path}: expected this conversion, unfinished, or nothing; found ${what}: remove it first`);
    }
    for (const { file, bytes } of planned) {
      const noted = journal?.shards.find((shard) => shard.file === file);
      if (noted?.bytes === bytes && (await isIntact(path, noted))) directory.#shards.set(file, noted);
    }
    for (const name of readdirSync(path)) {
      if (name !== journalName && !directory.#shards.has(name)) rmSync(join(path, name), { recursive: true });
    }
    directory.#writeJournal();
    return directory;
  }

  has(file: string): boolean {
    return this.#shards.has(file);
  }

  /** Bytes of the shards that are whole. */
  get bytes(): number {
    return this.#shards.values().reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Throws one line when the disk has no room for `bytes` more. */
  checkRoom(bytes: number): void {
    const { bavail, bsize } = statfsSync(this.path);
    if (bavail * bsize >= bytes) return;
    const megabytes = (count: number) => `${(count / 1e6).toFixed(count < 1e8 ? 1 : 0)} MB`;
    throw new Error(
      `${this.path}: expected room for ${megabytes(bytes)}, the disk has ${megabytes(bavail * bsize)} left`,
    );
  }

  /** Notes a shard that lies whole under its name. */
  note(shard: PackedShard): void {
    this.#shards.set(shard.file, shard);
    this.#writeJournal();
  }

  /** Adds what a model has beside its weights, and gives the directory its name. All planned shards are noted. */
  finish(checkpoint: Checkpoint): void {
    for (const { name, content } of checkpoint.companions()) replaceFile(join(this.path, name), content);
    const shards = [...this.#shards.values()].sort((a, b) => (a.file < b.file ? -1 : 1));
    replaceFile(join(this.path, manifestName), `${JSON.stringify({ ...this.#identity, shards }, undefined, 1)}\n`);
    const { value } = checkpoint.config();
    replaceFile(join(this.path, 'config.json'), `${JSON.stringify(value, undefined, 2)}\n`);
    // Over an empty directory at most: see `isConverted`.
    renameSync(this.path, this.#out);
    syncDirectory(dirname(this.#out));
    rmSync(join(this.#out, journalName));
  }

  #writeJournal(): void {
    const journal = { ...this.#identity, shards: [...this.#shards.values()] };
    replaceFile(join(this.path, journalName), `${JSON.stringify(journal)}\n`);
  }
}

/** Whether the file is there, as long as it was, with the bytes it had. */
async function isIntact(directory: string, { file, bytes, crc32: expected }: PackedShard): Promise<boolean> {
  const path = join(directory, file);
  if (!existsSync(path) || statSync(path).size !== bytes) return false;
  let sum = 0;
  for await (const piece of createReadStream(path, { highWaterMark: 2 ** 22 })) sum = crc32(piece, sum);
  return sum === expected;
}
