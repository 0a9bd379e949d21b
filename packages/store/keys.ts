// Keys, and the organizations and people that they belong to.
//
// Owns who may come in: a key is kept as a hash alone, and looked up by it at every request, so that one that is revoked is
// refused at once. Everything else belongs to an organization. The default one, whose id is empty, is there from the beginning:
// what was made before there were keys is its. What a scope allows is the server's to say.

import { createHash } from 'node:crypto';
import type { Kysely, Selectable } from 'kysely';
import type { KeysTable, Tables } from './tables.ts';

export const roles = ['owner', 'admin', 'member', 'viewer'] as const;
export type Role = (typeof roles)[number];

export interface Organization {
  readonly id: string;
  readonly name: string;
  readonly createdMs: number;
}

/** Has no row: it is everywhere. */
const defaultOrganization: Organization = { id: '', name: 'default', createdMs: 0 };

export interface Member {
  readonly id: string;
  readonly organization: string;
  readonly name: string;
  readonly role: Role;
}

/** What a key may do; undefined: no bound. */
export interface KeyScope {
  /** Names of models, and operation ids of the API. */
  readonly models: readonly string[] | undefined;
  readonly operations: readonly string[] | undefined;
  /** All that may ever be charged to it, in millionths of the currency. */
  readonly budget: number | undefined;
  readonly concurrency: number | undefined;
  readonly requestsPerMinute: number | undefined;
  readonly tokensPerMinute: number | undefined;
}

export const unboundedScope: KeyScope = {
  ...{ models: undefined, operations: undefined, budget: undefined, concurrency: undefined },
  ...{ requestsPerMinute: undefined, tokensPerMinute: undefined },
};

export interface StoredKey {
  readonly id: string;
  readonly organization: string;
  /** Whose it is; undefined: the organization's. */
  readonly member: string | undefined;
  readonly role: Role;
  readonly name: string;
  /** Of the key itself, so that people can tell it. */
  readonly lastFour: string;
  readonly scope: KeyScope;
  readonly createdMs: number;
  readonly expiresMs: number | undefined;
  readonly revokedMs: number | undefined;
  /** Whether prompts and answers are stored for it, whatever a request says. */
  readonly keepsText: boolean;
  /** Charged to it so far, in millionths of the currency. */
  readonly spent: number;
}

export type NewKey = Omit<StoredKey, 'lastFour' | 'revokedMs' | 'spent'>;

/** As it stands in the store. Keys are random and long: one round of hashing keeps them. */
function keyHash(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

export class Keys {
  readonly #db: Kysely<Tables>;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  /** Whether there ever was one: from then on they are asked for. */
  async isAny(): Promise<boolean> {
    return (await this.#db.selectFrom('keys').select('id').limit(1).executeTakeFirst()) !== undefined;
  }

  async add(key: NewKey, secret: string): Promise<void> {
    await this.#db
      .insertInto('keys')
      .values({
        ...{ id: key.id, organization: key.organization, member: key.member ?? null, role: key.role, name: key.name },
        ...{ hash: keyHash(secret), last_four: secret.slice(-4), scope: JSON.stringify(key.scope) },
        ...{ created_ms: key.createdMs, expires_ms: key.expiresMs ?? null, revoked_ms: null },
        ...{ keeps_text: key.keepsText ? 1 : 0, spent: 0 },
      })
      .execute();
  }

  /** By the key itself. Found by its hash, of which nobody learns anything by how long that takes. */
  async find(secret: string): Promise<StoredKey | undefined> {
    const query = this.#db.selectFrom('keys').selectAll().where('hash', '=', keyHash(secret));
    const row = await query.executeTakeFirst();
    return row && keyOf(row);
  }

  /** Of one organization, or of all, oldest first. */
  async list(organization?: string): Promise<StoredKey[]> {
    const all = this.#db.selectFrom('keys').selectAll().orderBy('number');
    const query = organization === undefined ? all : all.where('organization', '=', organization);
    return (await query.execute()).map(keyOf);
  }

  /** Whether there was such a key that was not revoked. */
  async revoke(id: string, nowMs: number): Promise<boolean> {
    const { numUpdatedRows } = await this.#db
      .updateTable('keys')
      .set({ revoked_ms: nowMs })
      .where('id', '=', id)
      .where('revoked_ms', 'is', null)
      .executeTakeFirst();
    return numUpdatedRows > 0n;
  }

  async addOrganization({ id, name, createdMs }: Organization): Promise<void> {
    await this.#db.insertInto('organizations').values({ id, name, created_ms: createdMs }).execute();
  }

  async organizations(): Promise<Organization[]> {
    const rows = await this.#db.selectFrom('organizations').selectAll().orderBy('created_ms').orderBy('id').execute();
    return [defaultOrganization, ...rows.map(({ id, name, created_ms: createdMs }) => ({ id, name, createdMs }))];
  }

  /** By id or by name. */
  async organization(named: string): Promise<Organization | undefined> {
    return (await this.organizations()).find(({ id, name }) => id === named || name === named);
  }

  /** Adds a member, or changes the role of one. */
  async setMember({ id, organization, name, role }: Member): Promise<void> {
    await this.#db
      .insertInto('members')
      .values({ id, organization, name, role })
      .onConflict((conflict) => conflict.columns(['organization', 'name']).doUpdateSet({ role }))
      .execute();
  }

  async members(organization: string): Promise<Member[]> {
    const query = this.#db.selectFrom('members').selectAll().where('organization', '=', organization).orderBy('name');
    return (await query.execute()).map((row) => ({ ...row, role: row.role as Role }));
  }

  /** And their keys are revoked. Whether there was one of this name. */
  async removeMember(organization: string, name: string, nowMs: number): Promise<boolean> {
    return await this.#db.transaction().execute(async (transaction) => {
      const query = transaction.selectFrom('members').select('id').where('organization', '=', organization);
      const member = await query.where('name', '=', name).executeTakeFirst();
      if (member === undefined) return false;
      await transaction
        .updateTable('keys')
        .set({ revoked_ms: nowMs })
        .where('member', '=', member.id)
        .where('revoked_ms', 'is', null)
        .execute();
      await transaction.deleteFrom('members').where('id', '=', member.id).execute();
      return true;
    });
  }
}

function keyOf(row: Selectable<KeysTable>): StoredKey {
  return {
    ...{ id: row.id, organization: row.organization, member: row.member ?? undefined, role: row.role as Role },
    // What is absent in JSON is unbounded.
    ...{ name: row.name, lastFour: row.last_four, scope: { ...unboundedScope, ...JSON.parse(row.scope) } },
    ...{ createdMs: row.created_ms, expiresMs: row.expires_ms ?? undefined, revokedMs: row.revoked_ms ?? undefined },
    ...{ keepsText: row.keeps_text === 1, spent: row.spent },
  };
}
