// Files over the API, in OpenAI's shape and in Anthropic's.
//
// Owns how much a caller may keep, and which of a file's two shapes is shown. JSON shapes are `protocol`'s, bytes the store's.

import {
  anthropicFile,
  checkFilename,
  type FileCard,
  parseUploadFields,
  uploadPurposes,
  wireFile,
} from '@hadal/protocol/files';
import { anthropicList, parseAnthropicListPage, parseListPage, wireList } from '@hadal/protocol/list-page';
import { requestError } from '@hadal/protocol/request-error';
import type { Files, StoredFile } from '@hadal/store/files';
import type { EndpointOptions } from './answer-plan.ts';
import type { ApiCall } from './api-call.ts';
import { downloadOf, type FileDownload } from './file-download.ts';

export interface FileLimits {
  readonly fileBytes: number;
  /** Of each owner's. */
  readonly files: number;
  readonly totalBytes: number;
}

/** DeepSeek's, but for the size of a file, which is OpenAI's: batches are larger than images. */
export const defaultFileLimits: FileLimits = { fileBytes: 512 * 1024 ** 2, files: 10_000, totalBytes: 25 * 1024 ** 3 };

export function filesEndpoints({ store: { files }, fileLimits, now, newId }: EndpointOptions) {
  async function upload(call: ApiCall, fieldsOf: typeof parseUploadFields): Promise<StoredFile> {
    const { owner } = call.account;
    const total = await files.total(owner);
    const full = () => requestError('storage-full', { maxFiles: fileLimits.files, maxBytes: fileLimits.totalBytes });
    if (total.count >= fileLimits.files || total.bytes >= fileLimits.totalBytes) throw full();
    const { content, form } = call.upload(fileLimits.fileBytes);
    const head = { id: `file-api-${newId().replaceAll('-', '')}`, owner, createdMs: now() };
    let bytes = 0;
    const counted = async function* () {
      for await (const chunk of content) {
        bytes += chunk.length;
        if (total.bytes + bytes > fileLimits.totalBytes) throw full();
        yield chunk;
      }
    };
    return await files.write(head, counted(), () => {
      const { filename, mimeType, fields } = form();
      checkFilename(filename);
      const { purpose, expiresAfterSeconds } = fieldsOf(fields);
      const expiresMs = expiresAfterSeconds === undefined ? undefined : head.createdMs + expiresAfterSeconds * 1000;
      return { filename, mimeType, purpose, expiresMs };
    });
  }

  async function named({ account: { owner }, params: { id } }: ApiCall): Promise<StoredFile> {
    return await findFile(files, owner, id);
  }

  async function remove(call: ApiCall): Promise<string> {
    const { id } = await named(call);
    await files.delete(call.account.owner, id);
    return id;
  }

  async function download(call: ApiCall): Promise<FileDownload> {
    const file = await named(call);
    try {
      return await downloadOf(file, files.read(file));
    } catch (error) {
      // Where it was deleted after it had been found, that is what the caller hears.
      await named(call);
      throw error;
    }
  }

  return {
    openai: {
      upload: async (call: ApiCall) => wireFile(await upload(call, parseUploadFields)),
      async list({ account: { owner }, query }: ApiCall) {
        const asked = parseListPage(query, { limit: 1000, maxLimit: 10_000, order: 'asc' });
        const page = await files.list({ owner, ...asked, purpose: query.purpose });
        if (page === undefined) throw unknownCursor('after', query.after);
        return wireList(page.rows.map(wireFile), page.hasMore);
      },
      get: async (call: ApiCall) => wireFile(await named(call)),
      remove: async (call: ApiCall) => ({ id: await remove(call), object: 'file', deleted: true }),
      download,
    },
    anthropic: {
      async upload(call: ApiCall) {
        checkBeta(call);
        return anthropicFile(
          await upload(call, () => ({ purpose: uploadPurposes[0], expiresAfterSeconds: undefined })),
        );
      },
      async list(call: ApiCall) {
        checkBeta(call);
        const { account, query } = call;
        const { owner } = account;
        const page = await files.list({ owner, ...parseAnthropicListPage(query, { limit: 20, maxLimit: 1000 }) });
        if (page === undefined) {
          const field = query.before_id === undefined ? 'after_id' : 'before_id';
          throw unknownCursor(field, query[field]);
        }
        return anthropicList(page.rows.map(anthropicFile), page.hasMore);
      },
      async get(call: ApiCall) {
        checkBeta(call);
        return anthropicFile(await named(call));
      },
      async remove(call: ApiCall) {
        checkBeta(call);
        return { id: await remove(call), type: 'file_deleted' };
      },
      async download(call: ApiCall) {
        checkBeta(call);
        return await download(call);
      },
    },
  };
}

/** `field`: where the caller named it. Throws `RequestError` where there is none. */
export async function findFile(files: Files, owner: string, id: string, field = 'id'): Promise<StoredFile & FileCard> {
  const file = await files.find(owner, id);
  if (file === undefined) throw requestError('unknown-object', { field, kind: 'File', id });
  return file;
}

/** A list cannot go on from what is not in it. */
export function unknownCursor(field: string, id: string | undefined) {
  return requestError('invalid-field', { field, problem: `expected the id of an entry of the list, got ${id}` });
}

/** Files are in beta with Anthropic, and DeepSeek too insists on the header. */
function checkBeta({ headers }: ApiCall): void {
  if (/(^|,)\s*files-api-2025-04-14\s*(,|$)/.test(headers['anthropic-beta'] ?? '')) return;
  throw requestError('invalid-field', { field: 'anthropic-beta', problem: 'expected the header files-api-2025-04-14' });
}
