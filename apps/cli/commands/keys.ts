// `hadal keys`: who may ask the server.
//
// Owns how keys are made, shown and revoked from a terminal. A key itself is shown once, when it is made.

import { randomBytes, randomUUID } from 'node:crypto';
import { moneyText } from '@hadal/protocol/account';
import { routes } from '@hadal/protocol/routes';
import { type Role, roles, type StoredKey } from '@hadal/store/keys';
import { Command, InvalidArgumentError, Option } from 'commander';
import { integerFrom, list, moneyFrom } from '../option-parsers.ts';
import { noteAct, openOwnStore, organizationNamed } from '../own-store.ts';
import { tableText } from '../table.ts';
import type { Terminal } from '../terminal.ts';

interface CreateOptions {
  readonly organization?: string;
  readonly member?: string;
  readonly role?: Role;
  readonly models?: readonly string[];
  readonly operations?: readonly string[];
  readonly budget?: number;
  readonly concurrency?: number;
  readonly rpm?: number;
  readonly tpm?: number;
  readonly expires?: number;
  readonly keepText?: true;
  readonly json?: true;
}

export function keysCommand(terminal: Terminal): Command {
  const keys = new Command('keys').description('Make, list and revoke the keys that a server asks for').addHelpText(
    'after',
    `
Until the first key is made, a server on this machine takes any; from then on it asks for one that is valid. A server that
runs learns of all this at once.

Examples:
  hadal keys create laptop
  hadal keys create bot --models deepseek-chat --rpm 60 --budget 20 --expires 30d
  hadal keys list
  hadal keys revoke key_1f0c9a2b`,
  );
  keys
    .command('create')
    .description('Make a key; it is shown once')
    .argument('<name>', 'what it is for')
    .option('--organization <name>', 'whose it is')
    .option('--member <name>', 'which of its members has it')
    .addOption(new Option('--role <role>', 'what it may do: a viewer only looks').choices(roles))
    .option('--models <names>', 'for these models alone, with commas between', list)
    .option('--operations <ids>', 'for these calls alone, such as createChatCompletion (/docs names them)', operations)
    .option('--budget <amount>', 'all that may ever be charged to it', moneyFrom)
    .option('--concurrency <count>', 'requests at a time', integerFrom(1))
    .option('--rpm <count>', 'requests a minute', integerFrom(1))
    .option('--tpm <count>', 'tokens a minute', integerFrom(1))
    .option('--expires <time>', 'after this time, such as 12h, 30d', duration)
    .option('--keep-text', 'store every prompt and answer of chat completions, whatever a request says')
    .option('--json', 'print one JSON object')
    .action((name: string, options: CreateOptions) => create(name, options, terminal));
  keys
    .command('list')
    .description('The keys there are, without the keys themselves')
    .option('--organization <name>', 'of this one alone')
    .option('--json', 'print one JSON object for each')
    .action((options: { organization?: string; json?: true }) => show(options, terminal));
  keys
    .command('revoke')
    .description('Refuse a key from now on')
    .argument('<id>', 'such as key_1f0c9a2b: `hadal keys list` has them')
    .action((id: string) => revoke(id, terminal));
  return keys;
}

async function create(name: string, options: CreateOptions, terminal: Terminal): Promise<void> {
  await using store = await openOwnStore();
  const { id: organization } = await organizationNamed(store, options.organization);
  const member = options.member === undefined ? undefined : await memberNamed(store, organization, options.member);
  const secret = `sk-${randomBytes(24).toString('hex')}`;
  const nowMs = Date.now();
  const key = {
    ...{ id: `key_${randomUUID().slice(0, 8)}`, organization, member: member?.id, name },
    role: options.role ?? member?.role ?? 'member',
    scope: {
      ...{ models: options.models, operations: options.operations, budget: options.budget },
      ...{ concurrency: options.concurrency, requestsPerMinute: options.rpm, tokensPerMinute: options.tpm },
    },
    ...{ createdMs: nowMs, expiresMs: options.expires === undefined ? undefined : nowMs + options.expires },
    keepsText: options.keepText === true,
  };
  const isFirst = !(await store.keys.isAny());
  await store.keys.add(key, secret);
  await noteAct(store, 'key.create', key.id, { name, organization, role: key.role, scope: key.scope });
  if (options.json) return terminal.out(`${JSON.stringify({ id: key.id, key: secret, name, role: key.role })}\n`);
  terminal.out(`${secret}\n`);
  terminal.err(
    `This is ${key.id}, ${JSON.stringify(name)}. It is shown this once: what is kept of it does not give it back.\n`,
  );
  if (isFirst) terminal.err('It is the first: from now on the server asks for a key.\n');
}

async function memberNamed(store: Awaited<ReturnType<typeof openOwnStore>>, organization: string, name: string) {
  const members = await store.keys.members(organization);
  const member = members.find((one) => one.name === name);
  if (member !== undefined) return member;
  throw new Error(`member: expected one of ${members.map((one) => one.name).join(', ') || 'none yet'}, got ${name}`);
}

async function show({ organization, json }: { organization?: string; json?: true }, terminal: Terminal): Promise<void> {
  await using store = await openOwnStore();
  const only = organization === undefined ? undefined : (await organizationNamed(store, organization)).id;
  const keys = await store.keys.list(only);
  if (json) return terminal.out(keys.map((key) => `${JSON.stringify(key)}\n`).join(''));
  if (keys.length === 0) return terminal.out('There are no keys: a server on this machine takes any.\n');
  const names = new Map((await store.keys.organizations()).map(({ id, name }) => [id, name]));
  terminal.out(
    tableText(
      ['id', 'name', 'key', 'organization', 'role', 'spent', 'made', 'state', 'scope'],
      keys.map((key) => [
        ...[key.id, key.name, `...${key.lastFour}`, names.get(key.organization) ?? key.organization, key.role],
        ...[moneyText(key.spent), dayOf(key.createdMs), stateOf(key, Date.now()), scopeText(key)],
      ]),
    ),
  );
}

async function revoke(id: string, terminal: Terminal): Promise<void> {
  await using store = await openOwnStore();
  if (!(await store.keys.revoke(id, Date.now()))) {
    throw new Error(`${id}: expected a key that is not revoked; \`hadal keys list\` has them`);
  }
  await noteAct(store, 'key.revoke', id, {});
  terminal.out(`${id} is refused from now on.\n`);
}

function stateOf({ revokedMs, expiresMs }: StoredKey, nowMs: number): string {
  if (revokedMs !== undefined) return `revoked ${dayOf(revokedMs)}`;
  if (expiresMs === undefined) return 'valid';
  return `${expiresMs <= nowMs ? 'expired' : 'valid to'} ${dayOf(expiresMs)}`;
}

function scopeText({ scope, keepsText }: StoredKey): string {
  const { models, operations, budget, concurrency, requestsPerMinute, tokensPerMinute } = scope;
  const parts = [
    models && `models ${models.join('|')}`,
    operations && `calls ${operations.join('|')}`,
    budget !== undefined && `budget ${moneyText(budget)}`,
    concurrency !== undefined && `${concurrency} at a time`,
    requestsPerMinute !== undefined && `${requestsPerMinute} requests/min`,
    tokensPerMinute !== undefined && `${tokensPerMinute} tokens/min`,
    keepsText && 'keeps text',
  ];
  return parts.filter((part) => typeof part === 'string').join(', ') || 'all';
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function operations(text: string): readonly string[] {
  const ids = list(text);
  const unknown = ids.find((id) => !Object.hasOwn(routes, id));
  if (unknown === undefined) return ids;
  throw new InvalidArgumentError(
    `expected ids of calls such as ${Object.keys(routes).slice(0, 3).join(', ')}, got ${unknown}.`,
  );
}

const unitsMs = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

function duration(text: string): number {
  const [, count, unit] = /^(\d{1,5})([mhd])$/.exec(text) ?? [];
  if (count !== undefined && Number(count) > 0) return Number(count) * unitsMs[unit as keyof typeof unitsMs];
  throw new InvalidArgumentError('expected a time such as 45m, 12h or 30d.');
}
