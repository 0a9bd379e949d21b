// A PostgreSQL server of a test's own.
//
// Owns its files, its process and their end, which comes even when the test is killed. It listens on a socket in a directory of
// its own and nowhere else, and runs as somebody unprivileged, because it refuses to be root. Never used outside tests.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

export interface PostgresCluster extends AsyncDisposable {
  /** Of a new, empty database. */
  createDatabase(): Promise<string>;
  dropDatabase(url: string): Promise<void>;
  /** As when its machine loses power. It is not there until `start`. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** Why there can be none here; undefined where there can. */
export function missingPostgres(): string | undefined {
  if (binaries() === undefined) return 'PostgreSQL is not installed (on Debian: apt-get install postgresql)';
  if (process.getuid?.() === 0 && unprivileged() === undefined)
    return 'PostgreSQL refuses root, and there is no other user';
  return undefined;
}

export async function startCluster(): Promise<PostgresCluster> {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-postgres-'));
  const as = process.getuid?.() === 0 ? unprivileged() : undefined;
  if (as !== undefined) chownSync(directory, as.uid, as.gid);
  const data = join(directory, 'data');
  const bin = binaries() ?? '';
  const initdb = ['-D', data, '-U', 'hadal', '-E', 'UTF8', '--locale=C', '--auth=trust', '--no-sync'];
  execFileSync(join(bin, 'initdb'), initdb, { ...as, cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });

  const urlOf = (database: string) => `postgres://hadal@${encodeURIComponent(directory)}/${database}`;
  const settings = ['listen_addresses=', 'fsync=off', 'shared_buffers=16MB', 'max_connections=50'];
  let server = launch();
  let databases = 0;

  /** The shell waits for a word from us, or for the end of our pipe, which is the end of this process, however that came about. */
  function launch() {
    const script = '"$@" & server=$!; read word; kill -QUIT $server; wait $server; [ -n "$word" ] || rm -r "$0"';
    const postgres = [join(bin, 'postgres'), '-D', data, '-k', directory, ...settings.flatMap((one) => ['-c', one])];
    return spawn('sh', ['-c', script, directory, ...postgres], {
      ...as,
      cwd: directory,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
  }

  async function run(text: string): Promise<void> {
    const client = new pg.Client({ connectionString: urlOf('postgres') });
    client.on('error', () => {});
    await client.connect();
    try {
      await client.query(text);
    } finally {
      await client.end();
    }
  }

  async function ready(): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        return await run('select 1');
      } catch (error) {
        if (tries === 300) throw error;
        await delay(50);
      }
    }
  }

  async function stop(): Promise<void> {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const closed = once(server, 'close');
    server.stdin.end('stop\n');
    await closed;
  }

  try {
    await ready();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    async createDatabase() {
      const name = `test_${++databases}`;
      await run(`create database ${name}`);
      return urlOf(name);
    },
    dropDatabase: (url) => run(`drop database ${url.slice(url.lastIndexOf('/') + 1)} with (force)`),
    stop,
    async start() {
      server = launch();
      await ready();
    },
    async [Symbol.asyncDispose]() {
      await stop();
      await rm(directory, { recursive: true });
    },
  };
}

/** The folder of the newest version that is installed. */
function binaries(): string | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [...versions.map((version) => join(debian, version, 'bin')), ...(process.env.PATH ?? '').split(':')];
  return folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')));
}

function unprivileged(): { readonly uid: number; readonly gid: number } | undefined {
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const user = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody');
  return user && { uid: Number(user[2]), gid: Number(user[3]) };
}
