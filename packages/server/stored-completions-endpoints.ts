// Stored chat completions over the API: listed, shown, changed and deleted.
//
// Owns what a caller may do with one. JSON shapes are `protocol`'s, rows the store's.

import { wireStoredCompletion, wireStoredMessages } from '@hadal/protocol/chat-completions-response';
import { parseListPage, wireList } from '@hadal/protocol/list-page';
import { parseMetadataChange, parseMetadataQuery } from '@hadal/protocol/metadata';
import { requestError } from '@hadal/protocol/request-error';
import type { StoredCompletion } from '@hadal/store/completions';
import type { EndpointOptions } from './answer-plan.ts';
import type { ApiCall } from './api-call.ts';
import { unknownCursor } from './files-endpoints.ts';

const page = { limit: 20, maxLimit: 100, order: 'asc' } as const;

export function storedCompletionsEndpoints({ store: { completions } }: EndpointOptions) {
  async function named({ account: { owner }, params: { id } }: ApiCall): Promise<StoredCompletion> {
    const completion = await completions.find(owner, id);
    if (completion === undefined) throw unknown(id);
    return completion;
  }

  return {
    async list({ account: { owner }, query }: ApiCall) {
      const asked = parseListPage(query, page);
      const metadata = parseMetadataQuery(query);
      const found = await completions.list({ owner, ...asked, model: query.model, metadata });
      if (found === undefined) throw unknownCursor('after', query.after);
      return wireList(found.rows.map(shown), found.hasMore);
    },

    get: async (call: ApiCall) => shown(await named(call)),

    async update(call: ApiCall) {
      const metadata = parseMetadataChange(call.body);
      const { account, params } = call;
      const { owner } = account;
      if (!(await completions.setMetadata(owner, params.id, metadata))) throw unknown(params.id);
      return shown(await named(call));
    },

    async remove({ account: { owner }, params: { id } }: ApiCall) {
      if (!(await completions.delete(owner, id))) throw unknown(id);
      return { object: 'chat.completion.deleted', id, deleted: true };
    },

    async messages(call: ApiCall) {
      const { id, messages } = await named(call);
      const { limit, order, after } = parseListPage(call.query, page);
      const all = wireStoredMessages(id, messages);
      if (order === 'desc') all.reverse();
      const begin = after === undefined ? 0 : all.findIndex((message) => message.id === after) + 1;
      if (after !== undefined && begin === 0) throw unknownCursor('after', after);
      return wireList(all.slice(begin, begin + limit), begin + limit < all.length);
    },
  };
}

function shown({ completion, metadata }: StoredCompletion) {
  return wireStoredCompletion(completion, metadata);
}

function unknown(id: string) {
  return requestError('unknown-object', { field: 'id', kind: 'Chat completion', id });
}
