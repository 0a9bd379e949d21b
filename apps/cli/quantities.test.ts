import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesInWords, countInWords, secondsInWords } from './quantities.ts';

test('amounts have three digits or so and the unit that suits them', () => {
  const cases: [(amount: number) => string, Record<number, string>][] = [
    [countInWords, { 279096: '279,096', 7434752: '7.4 million', 73000000: '73 million' }],
    [countInWords, { 999400000: '999 million', 999600000: '1 billion', 1777088000: '1.8 billion' }],
    [countInWords, { 671000000000: '671 billion' }],
    [bytesInWords, { 0: '0 B', 999: '999 B', 1000: '1.00 kB', 20000: '20.0 kB', 999600: '1.00 MB' }],
    [bytesInWords, { 123456789: '123 MB', 1610612736: '1.61 GB', 688000000000: '688 GB', 2e15: '2000 TB' }],
    [secondsInWords, { 0: '0 s', 0.2: '1 s', 59: '59 s', 90: '2 min', 4000: '1 h 7 min' }],
  ];
  for (const [words, expected] of cases) {
    for (const [amount, text] of Object.entries(expected)) assert.equal(words(Number(amount)), text);
  }
});
