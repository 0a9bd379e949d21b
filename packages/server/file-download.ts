// The content of a file on its way to a caller.
//
// Owns the headers that keep it what it is: bytes to be saved, whatever type they claim to be, never a page of this server.

import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';

export interface DownloadedFile {
  readonly filename: string;
  readonly mimeType: string;
  readonly bytes: number;
}

export class FileDownload {
  readonly #file: DownloadedFile;
  readonly #content: AsyncGenerator<Uint8Array, void, void>;

  constructor(file: DownloadedFile, content: AsyncGenerator<Uint8Array, void, void>) {
    this.#file = file;
    this.#content = content;
  }

  send(reply: FastifyReply): FastifyReply {
    const { filename, mimeType, bytes } = this.#file;
    return reply
      .headers({
        'content-type': /^[\w.+-]+\/[\w.+-]+$/.test(mimeType) ? mimeType : 'application/octet-stream',
        'content-length': bytes,
        // RFC 6266, in the form of RFC 5987.
        'content-disposition': `attachment; filename*=UTF-8''${encodeURIComponent(filename).replace(/['()*]/g, escapeByte)}`,
        'x-content-type-options': 'nosniff',
        'content-security-policy': "default-src 'none'; sandbox",
      })
      .send(Readable.from(this.#content));
  }
}

/** Of content whose beginning can be read; rejects with what is thrown where it cannot. */
export async function downloadOf(
  file: DownloadedFile,
  content: AsyncGenerator<Uint8Array, void, void>,
): Promise<FileDownload> {
  return new FileDownload(file, resumed(await content.next(), content));
}

async function* resumed<T>(
  first: IteratorResult<T, void>,
  rest: AsyncGenerator<T, void, void>,
): AsyncGenerator<T, void, void> {
  if (!first.done) yield first.value;
  yield* rest;
}

function escapeByte(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}
