// A multipart form with one file.
//
// Owns how a form is taken apart while it arrives: the file's bytes as they come, never whole in memory, and the fields around
// it, which callers may send before it or after. Knows nothing of what fields mean or where bytes go.

import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
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

  async function* content() {
    const parser = openParser(headers, limitBytes);
    const arrived = Promise.withResolvers<FilePart | undefined>();
    parser.on('field', (name, value) => void fields.set(name, value));
    parser.on('file', (name, stream, filename, _encoding, mimeType) => {
      if (name === fileField) arrived.resolve({ stream, filename: filename ?? '', mimeType });
      // What nobody reads must be let through, or the form never ends.
      else stream.resume();
    });
    const whole = pipeline(body, parser).catch((error) => {
      throw asMistake(error);
    });
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
    } catch (error) {
      throw asMistake(error);
    } finally {
      whole.catch(() => {});
      parser.destroy();
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
