// The store of this machine, as commands use it beside a server that runs.
//
// Owns how it is opened, and that every administrative act is written down.

import type { BatchDetails } from '@hadal/protocol/batches';
import type { Organization } from '@hadal/store/keys';
import { openStore, type Store } from '@hadal/store/store';
import { storePlace } from './data-directory.ts';

export type OwnStore = Store<BatchDetails>;

/** Throws one line where it cannot be opened. */
export async function openOwnStore(): Promise<OwnStore> {
  return await openStore<BatchDetails>(storePlace());
}

export async function noteAct(store: OwnStore, action: string, target: string, details: object): Promise<void> {
  await store.ledger.note({ atMs: Date.now(), actor: 'command line', action, target, details });
}

/** By id or name; the default one where none is named. Throws one line that lists those there are. */
export async function organizationNamed(store: OwnStore, named: string | undefined): Promise<Organization> {
  const found = await store.keys.organization(named ?? '');
  if (found !== undefined) return found;
  const names = (await store.keys.organizations()).map(({ name }) => name);
  throw new Error(`organization: expected one of ${names.join(', ')}, got ${named}`);
}
