// `hadal jobs download`: a model that a job has made, on this machine.
//
// Owns the directory that it comes to: it is there when all files are whole and on the disk, and never in part. Speaks with the server
// over its API, like everybody.

import { chmodSync, createWriteStream, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { exitCodes } from '../failure.ts';
import { bytesInWords } from '../quantities.ts';
import { callServer, type Remote, serverJson } from '../remote-model.ts';
import { printable, type Terminal } from '../terminal.ts';

interface WireModelFile {
  readonly name: string;
  readonly bytes: number;
}

/** Fetches the files of `model` into `to`, a directory that is not there yet; where none is named, one that is called as the model. */
export async function downloadModel(
  model: string,
  to: string | undefined,
  remote: Remote,
  terminal: Terminal,
  { json }: { readonly json?: true },
): Promise<void> {
  const directory = resolve(to ?? model.replaceAll(/[^\w.-]+/g, '-'));
  if (existsSync(directory)) throw new Error(`${directory}: expected a directory that is not there yet; see --to`);
  const path = `models/${encodeURIComponent(model)}/files`;
  const { data } = await serverJson<{ data: readonly WireModelFile[] }>(remote, path);
  mkdirSync(dirname(directory), { recursive: true });
  const controller = new AbortController();
  const { signal } = controller;
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort());
  const partial = mkdtempSync(`${directory}.part-`);
  try {
    for (const { name, bytes } of data) {
      // A server names files, not places.
      if (name !== basename(name) || ['', '.', '..'].includes(name))
        throw new Error(`expected the name of a file, got ${printable(name)}`);
      terminal.err(`${printable(name)}, ${bytesInWords(bytes)}\n`);
      await fetchInto(
        join(partial, name),
        bytes,
        await callServer(remote, `${path}/content?name=${encodeURIComponent(name)}`, { signal }),
        signal,
      );
    }
    // As any directory that a person makes; the temporary one is its maker's alone.
    chmodSync(partial, 0o777 & ~process.umask());
    renameSync(partial, directory);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    if (!signal.aborted) throw error;
    terminal.err('stopped, and nothing of it kept\n');
    process.exitCode = exitCodes.interrupted;
    return;
  }
  terminal.out(json ? `${JSON.stringify({ model, directory })}\n` : `${directory}\n`);
}

async function fetchInto(path: string, bytes: number, { body }: Response, signal: AbortSignal): Promise<void> {
  const file = createWriteStream(path, { flush: true });
  await pipeline(body === null ? Readable.from([]) : Readable.fromWeb(body as never), file, { signal });
  if (file.bytesWritten !== bytes) {
    throw new Error(`${basename(path)}: expected ${bytes} bytes, got ${file.bytesWritten}`);
  }
}
