import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { moneyText, parseMoney } from '@hadal/protocol/account';
import fc from 'fast-check';
import { parseConfiguration } from './configuration.ts';
import { costOf, noPrices } from './prices.ts';

const example = (name: string) => {
  const text = readFileSync(join(import.meta.dirname, `../../docs/examples/${name}.yaml`), 'utf8');
  return parseConfiguration(text, name).prices;
};
const million = { prompt: 2_000_000, cacheHit: 1_000_000, completion: 1_000_000 };
const at = (text: string) => Date.parse(text);

test("R1's prices of 2025 and its night discount come out as DeepSeek wrote them", () => {
  const list = example('prices-r1-2025');
  assert.equal(list.currency, 'CNY');
  const cost = (time: string, usage = million) =>
    costOf(list, { model: 'deepseek-reasoner', usage, endedMs: at(time), isBatch: false });
  assert.equal(cost('2025-03-03T12:00:00Z'), 21_000_000, '1 + 4 + 16');
  assert.equal(cost('2025-03-03T16:30:00Z'), 5_250_000, 'a quarter from half past midnight in Beijing');
  assert.equal(cost('2025-03-03T16:29:59Z'), 21_000_000);
  assert.equal(cost('2025-03-04T00:29:59Z'), 5_250_000);
  assert.equal(cost('2025-03-04T00:30:00Z'), 21_000_000);
  assert.equal(cost('2025-03-03T12:00:00Z', { prompt: 1, cacheHit: 1, completion: 0 }), 1, 'a millionth');
});

test("today's prices are twice as high at peak hours, on weekdays that are no holidays", () => {
  const list = example('prices-2026');
  const cost = (time: string, model = 'deepseek-flash', isBatch = false) =>
    costOf(list, { model, usage: million, endedMs: at(time), isBatch });
  assert.equal(cost('2026-11-26T00:30:00Z'), 5_020_000, '0.02 + 1 + 4');
  assert.equal(cost('2026-11-26T01:00:00Z'), 10_040_000, 'nine in Beijing, a Thursday');
  assert.equal(cost('2026-11-26T03:59:59Z'), 10_040_000);
  assert.equal(cost('2026-11-26T04:00:00Z'), 5_020_000);
  assert.equal(cost('2026-11-26T06:00:00Z'), 10_040_000, 'fourteen');
  assert.equal(cost('2026-11-28T06:00:00Z'), 5_020_000, 'a Saturday');
  assert.equal(cost('2026-10-01T06:00:00Z'), 5_020_000, 'National Day, a Thursday');
  assert.equal(cost('2026-11-26T01:00:00Z', 'deepseek-v4-pro'), 36_300_000, 'twice 0.15 + 4.5 + 13.5');
  assert.equal(cost('2026-11-26T01:00:00Z', 'deepseek-flash', true), 5_020_000, 'a batch is half of it');
  assert.equal(cost('2026-11-26T01:00:00Z', 'hadal-nano'), 0);
});

test('a window over midnight belongs to the day on which it began', () => {
  const text = `
prices:
  currency: USD
  models:
    m: { cache_hit: 1, cache_miss: 1, output: 1, windows: [{ days: [fri], from: "22:00", to: "02:00", percent: 50 }] }
`;
  const { prices } = parseConfiguration(text, 'a');
  const usage = { prompt: 0, cacheHit: 0, completion: 1_000_000 };
  const cost = (time: string) => costOf(prices, { model: 'm', usage, endedMs: at(time), isBatch: false });
  assert.deepEqual(
    [
      '2026-11-27T21:59Z',
      '2026-11-27T22:00Z',
      '2026-11-28T01:59Z',
      '2026-11-28T02:00Z',
      '2026-11-28T23:00Z',
      '2026-11-27T01:00Z',
    ].map(cost),
    [1_000_000, 500_000, 500_000, 1_000_000, 1_000_000, 1_000_000],
  );
});

test('money is exact: what is written is what is meant, and costs add up to the last millionth', () => {
  const amounts = fc.integer({ min: -(10 ** 14), max: 10 ** 14 });
  fc.assert(fc.property(amounts, (amount) => assert.equal(parseMoney(moneyText(amount)), amount)));
  assert.deepEqual([moneyText(110_000_000), moneyText(500), moneyText(0)], ['110.00', '0.0005', '0.00']);
  for (const wrong of ['', '1.', '.5', '1e3', '1.2345678', 'NaN', '1,000']) assert.equal(parseMoney(wrong), undefined);
  const price = fc.integer({ min: 0, max: 10 ** 9 });
  const tokens = fc.integer({ min: 0, max: 10 ** 7 });
  fc.assert(
    fc.property(price, price, price, tokens, tokens, tokens, (cacheHit, cacheMiss, output, hit, miss, completion) => {
      const models = new Map([['m', { cacheHit, cacheMiss, output, windows: [] }]]);
      const usage = { prompt: hit + miss, cacheHit: hit, completion };
      const cost = costOf({ ...noPrices, models }, { model: 'm', usage, endedMs: 0, isBatch: false });
      const exact =
        BigInt(hit) * BigInt(cacheHit) + BigInt(miss) * BigInt(cacheMiss) + BigInt(completion) * BigInt(output);
      const off = BigInt(cost) * 1_000_000n - exact;
      assert.ok(off <= 500_000n && off > -500_000n - 1n, `${off}`);
    }),
  );
});

test('a model that a job has made costs what it was made of, or what the list says of it', () => {
  const price = (output: number) => ({ cacheHit: 0, cacheMiss: 0, output, windows: [] });
  const list = {
    ...noPrices,
    models: new Map([
      ['tiny', price(1_000_000)],
      ['ft:tiny:b:2', price(5_000_000)],
    ]),
  };
  const cost = (model: string) => costOf(list, { model, usage: million, endedMs: 0, isBatch: false });
  assert.deepEqual(
    ['tiny', 'ft:tiny:a:1', 'ft:tiny::1:ckpt-step-2', 'ft:tiny:b:2', 'ft:other:a:1', 'tiny:a'].map(cost),
    [1_000_000, 1_000_000, 1_000_000, 5_000_000, 0, 0],
  );
});
