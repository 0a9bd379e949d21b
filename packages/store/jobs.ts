// Fine-tuning jobs, what they tell, and the checkpoints they have made.
//
// Owns that a job changes as one: its status, its events, its checkpoints and what is to be told of it are there together or not
// at all, and what is told twice stands once. Who carries a job out is a lease's; what is in the JSON is `protocol`'s.

import type { Job, JobCheckpoint, JobDetails, JobEvent } from '@hadal/protocol/fine-tuning';
import type { Kysely, Selectable } from 'kysely';
import { addDeliveries, type NewDelivery } from './deliveries.ts';
import { type Page, type PageQuery, readPage } from './page.ts';
import type { JobCheckpointsTable, JobEventsTable, JobsTable, Tables } from './tables.ts';

export interface NewEvent extends JobEvent {
  /** Of its job: an event with the key of an earlier one is not added. */
  readonly key: string;
}

export interface StoredCheckpoint extends JobCheckpoint {
  readonly owner: string;
  /** Where it lies, relative to the job's directory or absolute. */
  readonly directory: string;
  readonly isAdapter: boolean;
}

export type NewCheckpoint = Omit<StoredCheckpoint, 'owner' | 'jobId'>;

/** What a job becomes. Checkpoints of steps that have one are not added. */
export interface JobChange extends Pick<Job, 'status' | 'details'> {
  readonly events?: readonly NewEvent[];
  readonly checkpoints?: readonly NewCheckpoint[];
  readonly deliveries?: readonly NewDelivery[];
}

export interface JobQuery extends PageQuery {
  /** All of these. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Rows in one statement, which may have some 30,000 values. */
const insertedTogether = 500;

export class Jobs {
  readonly #db: Kysely<Tables>;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  async add({ id, owner, createdMs, status, details }: Job, events: readonly NewEvent[]): Promise<void> {
    await this.#db.transaction().execute(async (transaction) => {
      await transaction
        .insertInto('jobs')
        .values({ id, owner, created_ms: createdMs, status, details: JSON.stringify(details) })
        .execute();
      const pairs = Object.entries(details.metadata ?? {}).map(([name, value]) => ({ job_id: id, name, value }));
      if (pairs.length > 0) await transaction.insertInto('job_metadata').values(pairs).execute();
      await addEvents(transaction, { id, owner }, events);
    });
  }

  async find(owner: string, id: string): Promise<Job | undefined> {
    const query = this.#db.selectFrom('jobs').selectAll().where('id', '=', id).where('owner', '=', owner);
    const row = await query.executeTakeFirst();
    return row && jobOf(row);
  }

  /** Whoever's it is. */
  async get(id: string): Promise<Job | undefined> {
    const row = await this.#db.selectFrom('jobs').selectAll().where('id', '=', id).executeTakeFirst();
    return row && jobOf(row);
  }

  /** undefined where the row that the page goes on from does not exist. */
  async list(query: JobQuery): Promise<Page<Job> | undefined> {
    const page = await readPage(this.#db, 'jobs', query, (row) =>
      row.and(
        Object.entries(query.metadata ?? {}).map(([name, value]) =>
          row.exists(
            row
              .selectFrom('job_metadata')
              .select('name')
              .whereRef('job_id', '=', 'jobs.id')
              .where('name', '=', name)
              .where('value', '=', value),
          ),
        ),
      ),
    );
    return page && { rows: page.rows.map(jobOf), hasMore: page.hasMore };
  }

  /** Those of all owners in one of these states, oldest first. */
  async inState(statuses: readonly string[]): Promise<Job[]> {
    const query = this.#db.selectFrom('jobs').selectAll().where('status', 'in', statuses).orderBy('number');
    return (await query.execute()).map(jobOf);
  }

  /** Changes a job whose status is one of `from`; undefined where it is another, or where `change` says so. */
  async update(
    id: string,
    from: readonly string[],
    change: (job: Job) => JobChange | undefined,
  ): Promise<Job | undefined> {
    return await this.#db.transaction().execute(async (transaction) => {
      // A write, though it changes nothing: nobody else can change the row until the transaction is over.
      const row = await transaction
        .updateTable('jobs')
        .set((job) => ({ status: job.ref('status') }))
        .where('id', '=', id)
        .where('status', 'in', from)
        .returningAll()
        .executeTakeFirst();
      if (row === undefined) return undefined;
      const job = jobOf(row);
      const changed = change(job);
      if (changed === undefined) return undefined;
      const { status, details, events = [], checkpoints = [], deliveries = [] } = changed;
      const columns = { status, details: JSON.stringify(details) };
      await transaction.updateTable('jobs').set(columns).where('id', '=', id).execute();
      await addEvents(transaction, job, events);
      await addCheckpoints(transaction, job, checkpoints);
      await addDeliveries(transaction, deliveries);
      return { ...job, status, details };
    });
  }

  /** Adds an event to a job, whatever its state. */
  async note(job: Pick<Job, 'id' | 'owner'>, events: readonly NewEvent[]): Promise<void> {
    await addEvents(this.#db, job, events);
  }

  /** undefined where the row that the page goes on from is not one of the job's. */
  async events(jobId: string, query: PageQuery): Promise<Page<JobEvent> | undefined> {
    if (!(await this.#isOf('job_events', jobId, query.after))) return undefined;
    const page = await readPage(this.#db, 'job_events', query, (row) => row('job_id', '=', jobId));
    return page && { rows: page.rows.map(eventOf), hasMore: page.hasMore };
  }

  /** undefined where the row that the page goes on from is not one of the job's. */
  async checkpoints(jobId: string, query: PageQuery): Promise<Page<StoredCheckpoint> | undefined> {
    if (!(await this.#isOf('job_checkpoints', jobId, query.after))) return undefined;
    const page = await readPage(this.#db, 'job_checkpoints', query, (row) => row('job_id', '=', jobId));
    return page && { rows: page.rows.map(checkpointOf), hasMore: page.hasMore };
  }

  /** All there are, of all owners, with the job of each; oldest first. */
  async allCheckpoints(): Promise<{ readonly checkpoint: StoredCheckpoint; readonly job: Job }[]> {
    const [rows, jobs] = await Promise.all([
      this.#db.selectFrom('job_checkpoints').selectAll().orderBy('number').execute(),
      this.#db
        .selectFrom('jobs')
        .selectAll()
        .where('id', 'in', (job) => job.selectFrom('job_checkpoints').select('job_id'))
        .execute(),
    ]);
    const byId = new Map(jobs.map((row) => [row.id, jobOf(row)]));
    return rows.flatMap((row) => {
      const job = byId.get(row.job_id);
      return job ? [{ checkpoint: checkpointOf(row), job }] : [];
    });
  }

  async #isOf(table: 'job_events' | 'job_checkpoints', jobId: string, id: string | undefined): Promise<boolean> {
    if (id === undefined) return true;
    const query = this.#db.selectFrom(table).select('number').where('id', '=', id).where('job_id', '=', jobId);
    return (await query.executeTakeFirst()) !== undefined;
  }
}

async function addEvents(
  db: Kysely<Tables>,
  { id, owner }: Pick<Job, 'id' | 'owner'>,
  events: readonly NewEvent[],
): Promise<void> {
  const rows = events.map((event) => ({
    ...{ id: event.id, owner, created_ms: event.createdMs, job_id: id, key: event.key },
    ...{ level: event.level, type: event.type, message: event.message },
    data: event.data === null ? null : JSON.stringify(event.data),
  }));
  for (let start = 0; start < rows.length; start += insertedTogether) {
    await db
      .insertInto('job_events')
      .values(rows.slice(start, start + insertedTogether))
      .onConflict((conflict) => conflict.columns(['job_id', 'key']).doNothing())
      .execute();
  }
}

async function addCheckpoints(db: Kysely<Tables>, job: Job, checkpoints: readonly NewCheckpoint[]): Promise<void> {
  if (checkpoints.length === 0) return;
  const rows = checkpoints.map((one) => ({
    ...{ id: one.id, owner: job.owner, created_ms: one.createdMs, job_id: job.id, step: one.step },
    ...{ model: one.model, directory: one.directory, is_adapter: one.isAdapter ? 1 : 0 },
    metrics: JSON.stringify(one.metrics),
  }));
  await db
    .insertInto('job_checkpoints')
    .values(rows)
    .onConflict((conflict) => conflict.columns(['job_id', 'step']).doNothing())
    .execute();
}

function jobOf(row: Selectable<JobsTable>): Job {
  return {
    ...{ id: row.id, owner: row.owner, createdMs: row.created_ms, status: row.status },
    details: JSON.parse(row.details) as JobDetails,
  };
}

function eventOf(row: Selectable<JobEventsTable>): JobEvent {
  return {
    ...{ id: row.id, createdMs: row.created_ms, level: row.level as JobEvent['level'], message: row.message },
    ...{ type: row.type as JobEvent['type'], data: row.data === null ? null : JSON.parse(row.data) },
  };
}

function checkpointOf(row: Selectable<JobCheckpointsTable>): StoredCheckpoint {
  return {
    ...{ id: row.id, owner: row.owner, jobId: row.job_id, createdMs: row.created_ms, step: row.step },
    ...{ model: row.model, directory: row.directory, isAdapter: row.is_adapter === 1 },
    metrics: JSON.parse(row.metrics) as Readonly<Record<string, number>>,
  };
}
