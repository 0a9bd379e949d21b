// Keys, balances and usage as a person and a team meet them: the real program, its command line and its server together.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import OpenAI, { APIError, AuthenticationError } from 'openai';
import { hadal, startHadal } from './hadal.ts';
import { writeTinyCheckpoint } from './tiny-checkpoint.ts';

const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
after(() => rmSync(directory, { recursive: true }));
const checkpoint = join(directory, 'tiny');
writeTinyCheckpoint(checkpoint);
const home = join(directory, 'home');
const env = { HADAL_HOME: home };
const run = async (...args: string[]) => await hadal(args, { env });

test('a server is alone until there is a key, and what is done on the command line counts at once', async () => {
  const serve = ['serve', '--threads', '1', '--disk-cache', '0', '--model', checkpoint, '--port', '0'];
  const open = await run(...serve, '--host', '0.0.0.0');
  assert.equal(open.code, 2);
  assert.match(open.stderr, /^hadal: 0\.0\.0\.0 lets others in, and there are no keys .*: hadal keys create NAME\n$/);

  const prices = '{ currency: CNY, models: { tiny: { cache_hit: 0, cache_miss: 1000, output: 1000 } } }';
  writeFileSync(join(home, 'hadal.yaml'), `prices: ${prices}\n`);
  await using server = startHadal([...serve, '--host', '0.0.0.0'].slice(0, -2), { env });
  const [, url] = await server.untilOutput(/is ready at (http:\S+)\n/);
  const clientOf = (apiKey: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
  const ask = async (client: OpenAI) =>
    await client.chat.completions.create({
      ...{ model: 'tiny', messages: [{ role: 'user', content: 'hello' }], max_tokens: 4, user: 'ann' },
    });
  await ask(clientOf('any'));

  assert.match((await run('organizations', 'create', 'lab')).stdout, /^lab is org_[0-9a-f]{8}\.\n$/);
  await run('organizations', 'member', 'lab', 'ann', '--role', 'admin');
  const made = await run('keys', 'create', 'laptop', '--organization', 'lab', '--member', 'ann');
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /^sk-[0-9a-f]{48}\n$/);
  assert.match(made.stderr, /It is the first: from now on the server asks for a key/);
  const client = clientOf(made.stdout.trim());
  await assert.rejects(ask(clientOf('any')), AuthenticationError);
  await ask(client);

  assert.match((await run('organizations', 'pay', 'lab', '0.01', '--granted')).stdout, /^lab has 0\.01 CNY\.\n$/);
  const [before] = (await client.get<{ balance_infos: { granted_balance: string }[] }>('/user/balance')).balance_infos;
  assert.equal(before?.granted_balance, '0.01');
  await ask(client);
  await assert.rejects(ask(client), (error) => error instanceof APIError && error.status === 402);

  const keys = await run('keys', 'list');
  const [, id = ''] = /^(key_[0-9a-f]{8}) +laptop +\.\.\.[0-9a-f]{4} +lab +admin/m.exec(keys.stdout) ?? [];
  assert.ok(id, keys.stdout);
  const usage = JSON.parse((await run('usage', '--by', 'key,user', '--json')).stdout);
  assert.deepEqual(
    usage.data.map(({ key, user, requests }: Record<string, unknown>) => [key, user, requests]),
    [
      ['', 'ann', 1],
      [id, 'ann', 2],
    ],
  );
  const cost = await run('usage', '--csv', 'cost');
  const [head, ...lines] = cost.stdout.split('\r\n');
  assert.equal(head, 'user_id,start_time_iso,end_time_iso,model,wallet_type,cost,currency');
  assert.ok(
    lines.some((line) => /^ann,[^,]+T00:00:00\.000Z,[^,]+,tiny,granted,0\.01,CNY$/.test(line)),
    cost.stdout,
  );
  const amount = await run('usage', '--csv', 'amount', '--organization', 'lab');
  assert.match(amount.stdout, /^user_id,start_time_iso,end_time_iso,model,api_key_name,api_key,type,price,amount\r\n/);
  assert.match(amount.stdout, /^ann,.*,tiny,laptop,sk-\*\*\*\*[0-9a-f]{4},request_count,,2\r$/m);

  assert.equal((await run('keys', 'revoke', id)).stdout, `${id} is refused from now on.\n`);
  await assert.rejects(ask(client), AuthenticationError);
  assert.equal((await run('keys', 'revoke', id)).code, 1);
  const actions = (await run('audit', '--json')).stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).action);
  assert.deepEqual(actions, ['key.revoke', 'balance.pay', 'key.create', 'member.set', 'organization.create']);
});
