// Files on the wire, in OpenAI's and in Anthropic's shape.
//
// Owns what an upload must say of itself, how lists are gone through, and how a file is shown. Knows nothing of bytes.
// DeepSeek API reference, files, October 2026; purposes and content beyond images are OpenAI's.

import { z } from 'zod';
import { requestError } from './request-error.ts';
import { expecting } from './sampling-fields.ts';
import { checkShape } from './shape-error.ts';

/** What callers may upload a file for. */
export const uploadPurposes = ['user_data', 'batch', 'fine-tune', 'assistants', 'vision', 'evals'] as const;

export interface FileCard {
  readonly id: string;
  readonly filename: string;
  readonly purpose: string;
  readonly mimeType: string;
  readonly bytes: number;
  readonly createdMs: number;
  readonly expiresMs: number | undefined;
}

export interface UploadFields {
  readonly purpose: (typeof uploadPurposes)[number];
  /** After its creation; undefined: it stays. */
  readonly expiresAfterSeconds: number | undefined;
}

const seconds = expecting('integer from 3600 to 2592000');
const uploadSchema = z.object({
  purpose: z.enum(uploadPurposes).describe('What the file is for. `batch`: JSON Lines of requests.'),
  'expires_after[anchor]': z.literal('created_at').optional(),
  'expires_after[seconds]': z.coerce
    .number(seconds)
    .int(seconds)
    .min(3600, seconds)
    .max(2592000, seconds)
    .optional()
    .describe('After how long it is deleted. Default: never.'),
});

const file = z.string().meta({ format: 'binary', description: 'The file, with its name.' });
/** The forms, for those who read the description of the API. */
export const uploadForm = z.object({ file, ...uploadSchema.shape });
export const anthropicUploadForm = z.object({ file });

/** The fields of a multipart form beside its file. Throws `RequestError` for the first mistake. */
export function parseUploadFields(fields: Readonly<Record<string, string>>): UploadFields {
  const wire = checkShape(uploadSchema, fields);
  const [anchor, expiresAfterSeconds] = [wire['expires_after[anchor]'], wire['expires_after[seconds]']];
  if ((anchor === undefined) !== (expiresAfterSeconds === undefined)) {
    throw requestError('invalid-field', { field: 'expires_after', problem: 'expected anchor and seconds, got one' });
  }
  return { purpose: wire.purpose, expiresAfterSeconds };
}

export const maxFilename = 512;

/** Throws `RequestError` for a name that is none. */
export function checkFilename(filename: string): void {
  if (filename === '' || filename.length > maxFilename) {
    const problem = `expected a name of 1 to ${maxFilename} characters, got ${filename.length}`;
    throw requestError('invalid-field', { field: 'file', problem });
  }
}

export interface WireFile {
  readonly id: string;
  readonly object: 'file';
  readonly bytes: number;
  /** Seconds since 1970, as `expires_at`. */
  readonly created_at: number;
  readonly expires_at?: number;
  readonly filename: string;
  readonly purpose: string;
  readonly status: 'processed';
}

export function wireFile(file: FileCard): WireFile {
  return {
    ...{ id: file.id, object: 'file', bytes: file.bytes, created_at: Math.floor(file.createdMs / 1000) },
    ...(file.expiresMs !== undefined && { expires_at: Math.floor(file.expiresMs / 1000) }),
    ...{ filename: file.filename, purpose: file.purpose, status: 'processed' },
  };
}

export interface AnthropicFile {
  readonly id: string;
  readonly type: 'file';
  readonly filename: string;
  readonly mime_type: string;
  readonly size_bytes: number;
  /** RFC 3339. */
  readonly created_at: string;
  readonly downloadable: true;
}

export function anthropicFile(file: FileCard): AnthropicFile {
  return {
    ...{ id: file.id, type: 'file', filename: file.filename, mime_type: file.mimeType, size_bytes: file.bytes },
    ...{ created_at: new Date(file.createdMs).toISOString(), downloadable: true },
  };
}
