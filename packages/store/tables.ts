// The tables.
//
// Owns what stands in which column, and the migrations that made it so. Only ever added to: a migration that has been
// released is never changed. Times are milliseconds since 1970; JSON is text; `owner` is whose row it is, empty where the
// server has no keys.

import { type ColumnType, type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { bytesType, numberKey } from './columns.ts';

type Generated = ColumnType<number, never, never>;

export interface FilesTable {
  readonly id: string;
  /** Rows in the order in which they were made. */
  readonly number: Generated;
  readonly owner: string;
  readonly filename: string;
  readonly purpose: string;
  readonly mime_type: string;
  /** Null until all of it is there. */
  readonly bytes: ColumnType<number | null, number | undefined>;
  readonly created_ms: number;
  readonly expires_ms: number | null;
}

export interface FileChunksTable {
  readonly file_id: string;
  /** From 0. */
  readonly number: number;
  readonly data: Uint8Array;
}

export interface CompletionsTable {
  readonly id: string;
  readonly number: Generated;
  readonly owner: string;
  readonly created_ms: number;
  readonly model: string;
  /** The completion as it was sent, and the messages that it answers. */
  readonly completion: string;
  readonly messages: string;
}

export interface CompletionMetadataTable {
  readonly completion_id: string;
  readonly name: string;
  readonly value: string;
}

export interface ResponsesTable {
  readonly id: string;
  readonly number: Generated;
  readonly owner: string;
  readonly created_ms: number;
  /** The body to answer again should the server be gone before it is over; null once it is. */
  readonly request: string | null;
  /** The response as it stands at its end; before that null. */
  readonly response: string | null;
  /** Its events, of one that ran in the background. */
  readonly events: string | null;
  /** The conversation that it answers, and the items that it was given. */
  readonly asked: string;
  readonly input: string;
}

export interface BatchesTable {
  readonly id: string;
  readonly number: Generated;
  readonly owner: string;
  readonly created_ms: number;
  readonly expires_ms: number;
  readonly status: string;
  /** The rest of what a caller sees. */
  readonly details: string;
}

export interface BatchLinesTable {
  readonly batch_id: string;
  /** From 0. */
  readonly number: number;
  readonly custom_id: string;
  readonly body: string;
  /** Null until it is answered. */
  readonly answer: string | null;
  /** Whether the answer belongs into the file of errors. */
  readonly is_error: number | null;
  /** What the answer took. */
  readonly prompt_tokens: number | null;
  readonly cache_hit_tokens: number | null;
  readonly completion_tokens: number | null;
  readonly reasoning_tokens: number | null;
}

export interface JobsTable {
  readonly id: string;
  readonly number: Generated;
  readonly owner: string;
  readonly created_ms: number;
  readonly status: string;
  /** The rest of what a caller sees, and what is to be done. */
  readonly details: string;
}

export interface JobMetadataTable {
  readonly job_id: string;
  readonly name: string;
  readonly value: string;
}

export interface JobEventsTable {
  readonly id: string;
  readonly number: Generated;
  readonly owner: string;
  readonly created_ms: number;
  readonly job_id: string;
  /** The same for what is told again. */
  readonly key: string;
  readonly level: string;
  readonly type: string;
  readonly message: string;
  /** JSON, or null. */
  readonly data: string | null;
}

export interface JobCheckpointsTable {
  readonly id: string;
  readonly number: Generated;
  readonly owner: string;
  readonly created_ms: number;
  readonly job_id: string;
  readonly step: number;
  /** What it is asked by. */
  readonly model: string;
  readonly directory: string;
  /** Whether it is an adapter to the model that the job began with. */
  readonly is_adapter: number;
  readonly metrics: string;
}

/** What is still to be told to somebody. */
export interface DeliveriesTable {
  readonly id: string;
  readonly number: Generated;
  readonly created_ms: number;
  readonly url: string;
  /** JSON, as it is sent. */
  readonly body: string;
  /** How often it was tried in vain, and when it is tried again. */
  readonly attempts: number;
  readonly due_ms: number;
}

/** Who works on something that only one process may work on. */
export interface LeasesTable {
  readonly name: string;
  readonly holder: string;
  readonly expires_ms: number;
}

export interface OrganizationsTable {
  readonly id: string;
  readonly name: string;
  readonly created_ms: number;
}

export interface MembersTable {
  readonly id: string;
  readonly organization: string;
  readonly name: string;
  readonly role: string;
}

export interface KeysTable {
  readonly number: Generated;
  readonly id: string;
  readonly organization: string;
  readonly member: string | null;
  readonly role: string;
  readonly name: string;
  readonly hash: string;
  readonly last_four: string;
  readonly scope: string;
  readonly created_ms: number;
  readonly expires_ms: number | null;
  readonly revoked_ms: number | null;
  readonly keeps_text: number;
  /** Money is in whole millionths, here and below. */
  readonly spent: number;
}

export interface BalancesTable {
  readonly organization: string;
  readonly currency: string;
  readonly granted: number;
  readonly topped_up: number;
}

export interface UsageTable {
  readonly id: string;
  readonly ended_ms: number;
  readonly organization: string;
  readonly key_id: string | null;
  readonly user_id: string;
  readonly model: string;
  readonly operation: string;
  readonly finish_reason: string;
  readonly cache_hit_tokens: number;
  readonly cache_miss_tokens: number;
  readonly completion_tokens: number;
  readonly reasoning_tokens: number;
  readonly cost: number;
  /** Of the cost, what was taken from what is granted. */
  readonly granted_cost: number;
  readonly currency: string;
}

export interface AuditTable {
  readonly number: Generated;
  readonly at_ms: number;
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  readonly details: string;
}

export interface Tables {
  readonly organizations: OrganizationsTable;
  readonly members: MembersTable;
  readonly keys: KeysTable;
  readonly balances: BalancesTable;
  readonly usage: UsageTable;
  readonly audit: AuditTable;
  readonly files: FilesTable;
  readonly file_chunks: FileChunksTable;
  readonly completions: CompletionsTable;
  readonly completion_metadata: CompletionMetadataTable;
  readonly responses: ResponsesTable;
  readonly batches: BatchesTable;
  readonly batch_lines: BatchLinesTable;
  readonly jobs: JobsTable;
  readonly job_metadata: JobMetadataTable;
  readonly job_events: JobEventsTable;
  readonly job_checkpoints: JobCheckpointsTable;
  readonly deliveries: DeliveriesTable;
  readonly leases: LeasesTable;
}

const first: Migration = {
  async up(db: Kysely<unknown>) {
    // A number of its own, because two rows may be of one millisecond and a page must end between them.
    const numbered = (name: string) =>
      db.schema
        .createTable(name)
        .addColumn('number', ...numberKey(db))
        .addColumn('id', 'text', (column) => column.notNull().unique())
        .addColumn('owner', 'text', (column) => column.notNull())
        .addColumn('created_ms', 'bigint', (column) => column.notNull());
    await numbered('files')
      .addColumn('filename', 'text', (column) => column.notNull())
      .addColumn('purpose', 'text', (column) => column.notNull())
      .addColumn('mime_type', 'text', (column) => column.notNull())
      .addColumn('bytes', 'bigint')
      .addColumn('expires_ms', 'bigint')
      .execute();
    await db.schema
      .createTable('file_chunks')
      .addColumn('file_id', 'text', (column) => column.notNull().references('files.id').onDelete('cascade'))
      .addColumn('number', 'integer', (column) => column.notNull())
      .addColumn('data', bytesType(db), (column) => column.notNull())
      .addPrimaryKeyConstraint('file_chunks_key', ['file_id', 'number'])
      .execute();
    await numbered('completions')
      .addColumn('model', 'text', (column) => column.notNull())
      .addColumn('completion', 'text', (column) => column.notNull())
      .addColumn('messages', 'text', (column) => column.notNull())
      .execute();
    await db.schema
      .createTable('completion_metadata')
      .addColumn('completion_id', 'text', (column) => column.notNull().references('completions.id').onDelete('cascade'))
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('value', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('completion_metadata_key', ['completion_id', 'name'])
      .execute();
    await numbered('responses')
      .addColumn('request', 'text')
      .addColumn('response', 'text')
      .addColumn('events', 'text')
      .addColumn('asked', 'text', (column) => column.notNull())
      .addColumn('input', 'text', (column) => column.notNull())
      .execute();
    await numbered('batches')
      .addColumn('expires_ms', 'bigint', (column) => column.notNull())
      .addColumn('status', 'text', (column) => column.notNull())
      .addColumn('details', 'text', (column) => column.notNull())
      .execute();
    await db.schema
      .createTable('batch_lines')
      .addColumn('batch_id', 'text', (column) => column.notNull().references('batches.id').onDelete('cascade'))
      .addColumn('number', 'integer', (column) => column.notNull())
      .addColumn('custom_id', 'text', (column) => column.notNull())
      .addColumn('body', 'text', (column) => column.notNull())
      .addColumn('answer', 'text')
      .addColumn('is_error', 'integer')
      .addColumn('prompt_tokens', 'integer')
      .addColumn('cache_hit_tokens', 'integer')
      .addColumn('completion_tokens', 'integer')
      .addColumn('reasoning_tokens', 'integer')
      .addPrimaryKeyConstraint('batch_lines_key', ['batch_id', 'number'])
      .addUniqueConstraint('batch_lines_custom_id', ['batch_id', 'custom_id'])
      .execute();
    await db.schema
      .createTable('leases')
      .addColumn('name', 'text', (column) => column.primaryKey())
      .addColumn('holder', 'text', (column) => column.notNull())
      .addColumn('expires_ms', 'bigint', (column) => column.notNull())
      .execute();
    await sql`create index responses_unfinished on responses (number) where request is not null`.execute(db);
  },
};

const second: Migration = {
  async up(db: Kysely<unknown>) {
    await db.schema
      .createTable('organizations')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('name', 'text', (column) => column.notNull().unique())
      .addColumn('created_ms', 'bigint', (column) => column.notNull())
      .execute();
    await db.schema
      .createTable('members')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('organization', 'text', (column) => column.notNull())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('role', 'text', (column) => column.notNull())
      .addUniqueConstraint('members_name', ['organization', 'name'])
      .execute();
    await db.schema
      .createTable('keys')
      .addColumn('number', ...numberKey(db))
      .addColumn('id', 'text', (column) => column.notNull().unique())
      .addColumn('organization', 'text', (column) => column.notNull())
      .addColumn('member', 'text')
      .addColumn('role', 'text', (column) => column.notNull())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('hash', 'text', (column) => column.notNull().unique())
      .addColumn('last_four', 'text', (column) => column.notNull())
      .addColumn('scope', 'text', (column) => column.notNull())
      .addColumn('created_ms', 'bigint', (column) => column.notNull())
      .addColumn('expires_ms', 'bigint')
      .addColumn('revoked_ms', 'bigint')
      .addColumn('keeps_text', 'integer', (column) => column.notNull())
      .addColumn('spent', 'bigint', (column) => column.notNull())
      .execute();
    await db.schema
      .createTable('balances')
      .addColumn('organization', 'text', (column) => column.notNull())
      .addColumn('currency', 'text', (column) => column.notNull())
      .addColumn('granted', 'bigint', (column) => column.notNull())
      .addColumn('topped_up', 'bigint', (column) => column.notNull())
      .addPrimaryKeyConstraint('balances_key', ['organization', 'currency'])
      .execute();
    await db.schema
      .createTable('usage')
      .addColumn('id', 'text', (column) => column.primaryKey())
      .addColumn('ended_ms', 'bigint', (column) => column.notNull())
      .addColumn('organization', 'text', (column) => column.notNull())
      .addColumn('key_id', 'text')
      .addColumn('user_id', 'text', (column) => column.notNull())
      .addColumn('model', 'text', (column) => column.notNull())
      .addColumn('operation', 'text', (column) => column.notNull())
      .addColumn('finish_reason', 'text', (column) => column.notNull())
      .addColumn('cache_hit_tokens', 'bigint', (column) => column.notNull())
      .addColumn('cache_miss_tokens', 'bigint', (column) => column.notNull())
      .addColumn('completion_tokens', 'bigint', (column) => column.notNull())
      .addColumn('reasoning_tokens', 'bigint', (column) => column.notNull())
      .addColumn('cost', 'bigint', (column) => column.notNull())
      .addColumn('granted_cost', 'bigint', (column) => column.notNull())
      .addColumn('currency', 'text', (column) => column.notNull())
      .execute();
    await db.schema.createIndex('usage_ended').on('usage').column('ended_ms').execute();
    await db.schema
      .createTable('audit')
      .addColumn('number', ...numberKey(db))
      .addColumn('at_ms', 'bigint', (column) => column.notNull())
      .addColumn('actor', 'text', (column) => column.notNull())
      .addColumn('action', 'text', (column) => column.notNull())
      .addColumn('target', 'text', (column) => column.notNull())
      .addColumn('details', 'text', (column) => column.notNull())
      .execute();
  },
};

const third: Migration = {
  async up(db: Kysely<unknown>) {
    const numbered = (name: string) =>
      db.schema
        .createTable(name)
        .addColumn('number', ...numberKey(db))
        .addColumn('id', 'text', (column) => column.notNull().unique())
        .addColumn('created_ms', 'bigint', (column) => column.notNull());
    const owned = (name: string) => numbered(name).addColumn('owner', 'text', (column) => column.notNull());
    const ofJob = (name: string) =>
      owned(name).addColumn('job_id', 'text', (column) => column.notNull().references('jobs.id').onDelete('cascade'));
    await owned('jobs')
      .addColumn('status', 'text', (column) => column.notNull())
      .addColumn('details', 'text', (column) => column.notNull())
      .execute();
    await db.schema
      .createTable('job_metadata')
      .addColumn('job_id', 'text', (column) => column.notNull().references('jobs.id').onDelete('cascade'))
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('value', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('job_metadata_key', ['job_id', 'name'])
      .execute();
    await ofJob('job_events')
      .addColumn('key', 'text', (column) => column.notNull())
      .addColumn('level', 'text', (column) => column.notNull())
      .addColumn('type', 'text', (column) => column.notNull())
      .addColumn('message', 'text', (column) => column.notNull())
      .addColumn('data', 'text')
      .addUniqueConstraint('job_events_key', ['job_id', 'key'])
      .execute();
    await ofJob('job_checkpoints')
      .addColumn('step', 'integer', (column) => column.notNull())
      .addColumn('model', 'text', (column) => column.notNull().unique())
      .addColumn('directory', 'text', (column) => column.notNull())
      .addColumn('is_adapter', 'integer', (column) => column.notNull())
      .addColumn('metrics', 'text', (column) => column.notNull())
      .addUniqueConstraint('job_checkpoints_step', ['job_id', 'step'])
      .execute();
    await numbered('deliveries')
      .addColumn('url', 'text', (column) => column.notNull())
      .addColumn('body', 'text', (column) => column.notNull())
      .addColumn('attempts', 'integer', (column) => column.notNull())
      .addColumn('due_ms', 'bigint', (column) => column.notNull())
      .execute();
  },
};

/** By name; they are made in the order of their names. */
export const migrations: Readonly<Record<string, Migration>> = {
  '001-files-batches-completions-responses': first,
  '002-keys-balances-usage': second,
  '003-jobs-deliveries': third,
};
