// Batches over the API: made, listed, shown and cancelled.
//
// Owns what a caller may do with a batch. JSON shapes are `protocol`'s, the work is the runner's.

import { type BatchDetails, parseBatchRequest, wireBatch } from '@hadal/protocol/batches';
import { parseListPage, wireList } from '@hadal/protocol/list-page';
import { requestError } from '@hadal/protocol/request-error';
import type { StoredBatch } from '@hadal/store/batches';
import type { EndpointOptions } from './answer-plan.ts';
import type { ApiCall } from './api-call.ts';
import { type BatchRunner, batchOf } from './batch-runner.ts';
import { findFile, unknownCursor } from './files-endpoints.ts';

export function batchesEndpoints({ store, now, newId }: EndpointOptions, runner: BatchRunner) {
  const { batches, files } = store;

  async function named({ account: { owner }, params: { id } }: ApiCall): Promise<StoredBatch<BatchDetails>> {
    const batch = await batches.find(owner, id);
    if (batch === undefined) throw requestError('unknown-object', { field: 'id', kind: 'Batch', id });
    return batch;
  }

  async function shown(batch: StoredBatch<BatchDetails>) {
    const { counts, usage } = batch.details;
    return wireBatch(
      batchOf(batch),
      counts ?? (await batches.counts(batch.id)),
      usage ?? (await batches.usage(batch.id)),
    );
  }

  return {
    async create({ account, body }: ApiCall) {
      const { owner } = account;
      const { windowMs, details } = parseBatchRequest(body);
      const file = await findFile(files, owner, details.inputFileId, 'input_file_id');
      if (file.purpose !== 'batch') {
        const problem = `expected a file uploaded with purpose "batch", ${file.id} has ${JSON.stringify(file.purpose)}`;
        throw requestError('invalid-field', { field: 'input_file_id', problem });
      }
      const createdMs = now();
      const batch: StoredBatch<BatchDetails> = {
        ...{ id: `batch_${newId().replaceAll('-', '')}`, owner, createdMs, expiresMs: createdMs + windowMs },
        status: 'validating',
        details: {
          ...{ ...details, keyId: account.key?.id },
          ...{ problems: [], since: {}, outputFileId: undefined, errorFileId: undefined },
          ...{ counts: undefined, usage: undefined },
        },
      };
      await batches.add(batch);
      runner.wake();
      return await shown(batch);
    },

    async list({ account: { owner }, query }: ApiCall) {
      const asked = parseListPage(query, { limit: 20, maxLimit: 100, order: 'desc' });
      const page = await batches.list({ owner, ...asked });
      if (page === undefined) throw unknownCursor('after', query.after);
      return wireList(await Promise.all(page.rows.map(shown)), page.hasMore);
    },

    get: async (call: ApiCall) => await shown(await named(call)),

    async cancel(call: ApiCall) {
      const { id, status } = await named(call);
      const nowMs = now();
      const cancelled = await batches.update(id, ['validating', 'in_progress'], ({ details }) => ({
        status: 'cancelling',
        details: { ...details, since: { ...details.since, cancelling: nowMs } },
      }));
      if (cancelled === undefined) {
        const problem = `expected a batch that is not over, ${id} is ${status}`;
        throw requestError('invalid-field', { field: 'id', problem });
      }
      runner.cancel(id);
      return await shown(cancelled);
    },
  };
}
