// A multipart form with one file.
//
// Owns how a form is taken apart while it arrives: the file's bytes as they come, never whole in memory, and the fields around
// it, which callers may send before it or after. Knows nothing of what fields mean or where bytes go.

import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { Busboy, type BusboyFileStream, type BusboyHeaders, type BusboyInstance } from '@fastify/busboy';
import { RequestError, requestError } from '@hadal/protocol/request-error';

export interface Upload {
  /**
   * The bytes of the file; the whole form is read while they are. Throws `RequestError` where it is no form, has no file, or
   * the file is too large.
   */
  readonly content: AsyncGenerator<Uint8Array, void, void>;
  /** When `content` has ended. */
  readonly form: () => UploadForm;
}

export interface UploadForm {
  readonly filename: string;
  readonly mimeType: string;
  readonly fields: Readonly<Record<string, string>>;
}

interface FilePart {
  readonly stream: BusboyFileStream;
  readonly filename: string;
  readonly mimeType: string;
}

/** The file is the part of this name. */
const fileField = 'file';

export function readUpload(body: Readable, headers: IncomingHttpHeaders, limitBytes: number): Upload {
  const fields = new Map<string, string>();
  let named: Omit<FilePart, 'stream'> | undefined;
  let files = 0;

  async function* content() {
    const parser = openParser(headers, limitBytes);
    const arrived = Promise.withResolvers<FilePart | undefined>();
    parser.on('field', (name, value) => void fields.set(name, value));
    parser.on('file', (name, stream, filename, _encoding, mimeType) => {
      // A form that ends within a part is told by the parser too.
      stream.on('error', () => {});
      if (name === fileField && files++ === 0) arrived.resolve({ stream, filename: filename ?? '', mimeType });
      // What nobody reads must be let through, or the form never ends.
      else stream.resume();
    });
    const whole = fed(parser, body);
    whole.then(() => arrived.resolve(undefined), arrived.reject);
    arrived.promise.catch(() => {});
    try {
      const file = await arrived.promise;
      if (file === undefined) {
        throw requestError('invalid-field', { field: fileField, problem: 'expected a file, but it is missing' });
      }
      named = file;
      for await (const chunk of file.stream) yield chunk as Uint8Array;
      if (file.stream.truncated) throw requestError('file-too-large', { limitBytes });
      await whole;
      if (files > 1)
        throw requestError('invalid-field', { field: fileField, problem: `expected one file, got ${files}` });
    } catch (error) {
      throw asMistake(error);
    } finally {
      body.unpipe(parser);
      parser.destroy();
      // The caller reads no answer before everything is sent.
      body.resume();
    }
  }

  return {
    content: content(),
    form() {
      if (named === undefined) throw new Error('form: expected the content to be read before');
      return { filename: named.filename, mimeType: named.mimeType, fields: Object.fromEntries(fields) };
    },
  };
}

/** Resolves when `parser` has read all of `body`. Unlike a pipeline it never closes the connection, which the answer needs. */
async function fed(parser: BusboyInstance, body: Readable): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const cut = () => reject(new Error('the connection was closed before the body was whole'));
    body.once('error', cut).once('close', () => !body.readableEnded && cut());
    // It may find more than one mistake.
    parser.once('finish', resolve).on('error', reject).once('close', resolve);
    body.pipe(parser);
  });
}

function openParser(headers: IncomingHttpHeaders, limitBytes: number): BusboyInstance {
  try {
    return new Busboy({
      headers: headers as BusboyHeaders,
      limits: { fileSize: limitBytes, files: 4, fields: 32, fieldSize: 65_536, parts: 36 },
    });
  } catch (error) {
    throw asMistake(error);
  }
}

/** What goes wrong while a form is taken apart is the form's fault. */
function asMistake(error: unknown): RequestError {
  if (error instanceof RequestError) return error;
  const problem = error instanceof Error ? error.message : String(error);
  return requestError('malformed-http', { problem });
}
