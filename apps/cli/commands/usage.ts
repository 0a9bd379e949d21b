// `hadal usage` and `hadal audit`: what was used, what it cost, and who changed what.
//
// Owns how sums are shown, to a person, as JSON or as CSV in the columns of DeepSeek's export.

import { moneyText, parseUsageQuery, type UsageSum, usageAxes, wireUsageSums } from '@hadal/protocol/account';
import { Command, Option } from 'commander';
import { integerFrom } from '../option-parsers.ts';
import { type OwnStore, openOwnStore, organizationNamed } from '../own-store.ts';
import { csvLine, tableText } from '../table.ts';
import type { Terminal } from '../terminal.ts';

interface UsageOptions {
  readonly organization?: string;
  readonly from?: string;
  readonly to?: string;
  readonly by?: string;
  readonly csv?: 'amount' | 'cost';
  readonly json?: true;
}

export function usageCommand(terminal: Terminal): Command {
  return new Command('usage')
    .description('Tokens and costs, added up by day, key, model, user or call')
    .option('--organization <name>', 'of this one alone')
    .option('--from <day>', 'the first day, in UTC, such as 2026-11-01 (default: 30 days ago)')
    .option('--to <day>', 'the last day (default: today)')
    .option('--by <axes>', `some of ${usageAxes.join(', ')}, with commas between`, 'day,model')
    .addOption(
      new Option('--csv <kind>', "as one of the two files of DeepSeek's export")
        .choices(['amount', 'cost'])
        .conflicts('json'),
    )
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  hadal usage
  hadal usage --from 2026-11-01 --by key,model
  hadal usage --csv cost > cost.csv`,
    )
    .action((options: UsageOptions) => usage(options, terminal));
}

export function auditCommand(terminal: Terminal): Command {
  return new Command('audit')
    .description('Administrative acts, the latest first: keys, members, balances')
    .option('--limit <count>', 'so many at most', integerFrom(1), 50)
    .option('--json', 'print one JSON object for each')
    .addHelpText('after', '\nExamples:\n  hadal audit\n  hadal audit --limit 1000 --json')
    .action((options: { limit: number; json?: true }) => audit(options, terminal));
}

async function usage(options: UsageOptions, terminal: Terminal): Promise<void> {
  await using store = await openOwnStore();
  const organization =
    options.organization === undefined ? undefined : (await organizationNamed(store, options.organization)).id;
  const { from, to, by, csv, json } = options;
  const asked = parseUsageQuery({ from, to, by: csv === undefined ? by : 'day,key,model,user' }, Date.now());
  const sums = await store.ledger.usage({ organization, ...asked });
  if (json) return terminal.out(`${JSON.stringify(wireUsageSums(sums))}\n`);
  if (csv !== undefined) return terminal.out(await (csv === 'cost' ? costCsv(sums) : amountCsv(sums, store)));
  const rows = sums.map((sum) => [
    ...asked.by.map((axis) => sum.axes[axis] ?? ''),
    ...[sum.requests, sum.cacheHit, sum.cacheMiss, sum.completion, sum.reasoning, moneyText(sum.cost), sum.currency],
  ]);
  const head = ['requests', 'cache hit', 'cache miss', 'output', 'reasoning', 'cost', 'currency'];
  terminal.out(rows.length === 0 ? 'Nothing was used.\n' : tableText([...asked.by, ...head], rows));
}

/** `amount-<from>_<to>.csv`: one line for each kind of thing that was used. */
async function amountCsv(sums: readonly UsageSum[], store: OwnStore): Promise<string> {
  const keys = new Map((await store.keys.list()).map((key) => [key.id, key]));
  const head = [
    'user_id',
    'start_time_iso',
    'end_time_iso',
    'model',
    'api_key_name',
    'api_key',
    'type',
    'price',
    'amount',
  ];
  return [
    csvLine(head),
    ...sums.flatMap(({ axes, requests, completion, cacheHit, cacheMiss }) => {
      const key = keys.get(axes.key ?? '');
      const named = [axes.model ?? '', key?.name ?? '', key === undefined ? '' : `sk-****${key.lastFour}`];
      const amounts = {
        ...{ request_count: requests, output_tokens: completion },
        ...{ input_cache_hit_tokens: cacheHit, input_cache_miss_tokens: cacheMiss },
      };
      // Prices may have changed within the day: what was charged stands in the other file.
      return Object.entries(amounts).map(([type, amount]) => csvLine([...whenOf(axes), ...named, type, '', amount]));
    }),
  ].join('');
}

/** `cost-<from>_<to>.csv`: what was taken from each of the two wallets. */
function costCsv(sums: readonly UsageSum[]): string {
  const head = ['user_id', 'start_time_iso', 'end_time_iso', 'model', 'wallet_type', 'cost', 'currency'];
  return [
    csvLine(head),
    ...sums.flatMap(({ axes, cost, grantedCost, currency }) =>
      Object.entries({ granted: grantedCost, topped_up: cost - grantedCost })
        .filter(([, amount]) => amount !== 0)
        .map(([wallet, amount]) => csvLine([...whenOf(axes), axes.model ?? '', wallet, moneyText(amount), currency])),
    ),
  ].join('');
}

function whenOf({ user = '', day = '' }: UsageSum['axes']): [user: string, start: string, end: string] {
  const start = Date.parse(day);
  return [user, new Date(start).toISOString(), new Date(start + 86_400_000).toISOString()];
}

async function audit({ limit, json }: { limit: number; json?: true }, terminal: Terminal): Promise<void> {
  await using store = await openOwnStore();
  const entries = await store.ledger.audit(limit);
  if (json) return terminal.out(entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
  const rows = entries.map(({ atMs, actor, action, target, details }) => [
    ...[new Date(atMs).toISOString(), actor, action, target, JSON.stringify(details)],
  ]);
  terminal.out(
    rows.length === 0 ? 'Nothing was changed.\n' : tableText(['when', 'who', 'what', 'of', 'details'], rows),
  );
}
