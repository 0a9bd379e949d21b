// Pages of the cache on disk, so that a prefix outlives the process.
//
// Owns one directory of files, a page each, named by the hash of everything that the page depends on: model, namespace and
// all tokens up to its end. Knows nothing of what a page holds. A file is trusted only if its checksum and its name agree
// with its content; anything else found in its place is skipped and replaced. The directory stays under a size: what was
// read longest ago goes first. Nothing is synced: a page torn by a power cut fails its checksum and is computed again.

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface PageFilesOptions {
  readonly directory: string;
  /** Of all files together. */
  readonly maxBytes: number;
}

/** "HADALPG1", the page's name, the SHA-256 of the content, then the content. */
const magic = Buffer.from('HADALPG1');
const digestBytes = 32;
const headerBytes = magic.length + 2 * digestBytes;
const suffix = '.page';

/** The name of a page: of its tokens behind those of `parent`, or behind nothing, under what tells models and namespaces apart. */
export function pageName(parent: Buffer | undefined, scope: string, tokens: readonly number[]): Buffer {
  const hash = createHash('sha256');
  hash.update(parent ?? createHash('sha256').update(scope).digest());
  return hash.update(new Uint8Array(Int32Array.from(tokens).buffer)).digest();
}

export class PageFiles {
  readonly #directory: string;
  readonly #maxBytes: number;
  /** File name to size, least recently used first. */
  readonly #files = new Map<string, number>();
  #bytes = 0;

  /** Makes the directory if need be, and forgets what does not belong in it or is too much. */
  constructor({ directory, maxBytes }: PageFilesOptions) {
    this.#directory = directory;
    this.#maxBytes = maxBytes;
    mkdirSync(directory, { recursive: true });
    const found = readdirSync(directory).map((name) => ({ name, ...statSync(join(directory, name)) }));
    for (const { name, size } of found.sort((a, b) => a.mtimeMs - b.mtimeMs)) {
      // What a killed process was writing.
      if (name.endsWith('.tmp')) rmSync(join(directory, name), { force: true });
      if (name.endsWith(suffix)) this.#note(name, size);
    }
    this.#shrink();
  }

  get bytes(): number {
    return this.#bytes;
  }

  has(name: Buffer): boolean {
    return this.#files.has(fileName(name));
  }

  /** The page's content, [bytes]; undefined when there is none that can be trusted. */
  read(name: Buffer, bytes: number): Uint8Array | undefined {
    const file = fileName(name);
    if (!this.#files.has(file)) return undefined;
    const path = join(this.#directory, file);
    let content: Buffer;
    try {
      content = readFileSync(path);
    } catch {
      this.#forget(file);
      return undefined;
    }
    const page = content.subarray(headerBytes);
    const isWhole =
      page.length === bytes &&
      content.subarray(0, magic.length).equals(magic) &&
      content.subarray(magic.length, magic.length + digestBytes).equals(name) &&
      content.subarray(magic.length + digestBytes, headerBytes).equals(digest(page));
    if (!isWhole) {
      this.#forget(file);
      rmSync(path, { force: true });
      return undefined;
    }
    this.#note(file, content.length);
    const now = new Date();
    utimesSync(path, now, now);
    return page;
  }

  /** Writes a page, unless it is there already. Rejects when the disk does; then nothing is there. */
  async write(name: Buffer, page: Uint8Array): Promise<void> {
    const file = fileName(name);
    const size = headerBytes + page.length;
    if (this.#files.has(file) || size > this.#maxBytes) return;
    const path = join(this.#directory, file);
    try {
      await writeFile(`${path}.tmp`, [magic, name, digest(page), page]);
      await rename(`${path}.tmp`, path);
    } catch (error) {
      rmSync(`${path}.tmp`, { force: true });
      throw error;
    }
    this.#note(file, size);
    this.#shrink();
  }

  /** As the one used last. */
  #note(file: string, size: number): void {
    this.#forget(file);
    this.#files.set(file, size);
    this.#bytes += size;
  }

  #forget(file: string): void {
    this.#bytes -= this.#files.get(file) ?? 0;
    this.#files.delete(file);
  }

  #shrink(): void {
    for (const [file] of this.#files) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#forget(file);
      rmSync(join(this.#directory, file), { force: true });
    }
  }
}

function fileName(name: Buffer): string {
  return `${name.toString('hex')}${suffix}`;
}

function digest(page: Uint8Array): Buffer {
  return createHash('sha256').update(page).digest();
}
