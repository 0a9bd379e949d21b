// `hadal organizations`: who keys, files and balances belong to.
//
// Owns how organizations and their members are made and shown from a terminal, and how money is given to them.

import { randomUUID } from 'node:crypto';
import { moneyText } from '@hadal/protocol/account';
import { type Role, roles } from '@hadal/store/keys';
import { Command, Option } from 'commander';
import { readConfiguration } from '../configuration-file.ts';
import { moneyFrom } from '../option-parsers.ts';
import { noteAct, openOwnStore, organizationNamed } from '../own-store.ts';
import { tableText } from '../table.ts';
import type { Terminal } from '../terminal.ts';

export function organizationsCommand(terminal: Terminal): Command {
  const command = new Command('organizations')
    .alias('orgs')
    .description('Organizations, their members and what they have to pay with')
    .addHelpText(
      'after',
      `
Everything belongs to the organization "default" until there are others. An organization that was never given a balance need
not pay; one that was is refused (402) when nothing is left. What is granted is used before what was paid in.

Examples:
  hadal organizations create research
  hadal organizations member research ann --role admin
  hadal organizations pay research 100 --granted
  hadal organizations list`,
    );
  command
    .command('create')
    .description('Make an organization')
    .argument('<name>')
    .action((name: string) => create(name, terminal));
  command
    .command('list')
    .description('The organizations there are, with members and balances')
    .action(() => show(terminal));
  command
    .command('member')
    .description('Add a member, or change the role of one')
    .argument('<organization>')
    .argument('<name>', 'such as an address')
    .addOption(
      new Option('--role <role>', 'what their keys may do where they do not say').choices(roles).default('member'),
    )
    .option('--remove', 'remove the member, and revoke all their keys')
    .action((organization: string, name: string, options: { role: Role; remove?: true }) =>
      member(organization, name, options, terminal),
    );
  command
    .command('pay')
    .description('Add to a balance; an amount below zero takes from it')
    .argument('<organization>')
    .argument('<amount>', 'such as 100 or 0.5', moneyFrom)
    .option('--granted', 'as a gift, which is used before what was paid in')
    .option('--currency <code>', 'other than that of the prices')
    .action((organization: string, amount: number, options: { granted?: true; currency?: string }) =>
      pay(organization, amount, options, terminal),
    );
  return command;
}

async function create(name: string, terminal: Terminal): Promise<void> {
  await using store = await openOwnStore();
  if ((await store.keys.organization(name)) !== undefined)
    throw new Error(`${name}: there is such an organization already`);
  const id = `org_${randomUUID().slice(0, 8)}`;
  await store.keys.addOrganization({ id, name, createdMs: Date.now() });
  await noteAct(store, 'organization.create', id, { name });
  terminal.out(`${name} is ${id}.\n`);
}

async function show(terminal: Terminal): Promise<void> {
  await using store = await openOwnStore();
  const rows = [];
  for (const { id, name } of await store.keys.organizations()) {
    const members = (await store.keys.members(id)).map((one) => `${one.name} (${one.role})`).join(', ');
    const balances = (await store.ledger.balances(id)).map(
      ({ currency, granted, toppedUp }) =>
        `${moneyText(granted + toppedUp)} ${currency} (${moneyText(granted)} granted)`,
    );
    rows.push([name, id, balances.join(', ') || 'need not pay', members]);
  }
  terminal.out(tableText(['name', 'id', 'balance', 'members'], rows));
}

async function member(
  organization: string,
  name: string,
  { role, remove }: { role: Role; remove?: true },
  terminal: Terminal,
): Promise<void> {
  await using store = await openOwnStore();
  const { id } = await organizationNamed(store, organization);
  if (!remove) {
    await store.keys.setMember({ id: `user_${randomUUID().slice(0, 8)}`, organization: id, name, role });
    await noteAct(store, 'member.set', id, { name, role });
    return terminal.out(`${name} is ${role} of ${organization}.\n`);
  }
  if (!(await store.keys.removeMember(id, name, Date.now())))
    throw new Error(`${name}: expected a member of ${organization}`);
  await noteAct(store, 'member.remove', id, { name });
  terminal.out(`${name} is no member of ${organization} any more, and their keys are refused.\n`);
}

async function pay(
  organization: string,
  amount: number,
  { granted, currency }: { granted?: true; currency?: string },
  terminal: Terminal,
): Promise<void> {
  await using store = await openOwnStore();
  const { id } = await organizationNamed(store, organization);
  const code = currency ?? readConfiguration(undefined).prices.currency;
  const kind = granted ? 'granted' : 'topped-up';
  await store.ledger.pay(id, code, kind, amount);
  await noteAct(store, 'balance.pay', id, { amount: moneyText(amount), currency: code, kind });
  const balance = (await store.ledger.balances(id)).find((one) => one.currency === code);
  terminal.out(`${organization} has ${moneyText((balance?.granted ?? 0) + (balance?.toppedUp ?? 0))} ${code}.\n`);
}
