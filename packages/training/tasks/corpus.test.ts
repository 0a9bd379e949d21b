import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { askableTasks } from './registry.ts';
import type { Split } from './task.ts';

/** A change here is a change of what models are trained on, and must be meant. */
const digests: Readonly<Record<string, string>> = {
  'compare-decimals': 'cc760bead5b6cf8e',
  'count-letters': '4c59dbba635fa3e1',
  arithmetic: 'b76347758d044d6a',
  'add-and-subtract': 'a13ed4523c3aa4c7',
  multiply: '85d34788bc9731fc',
  countdown: '7c2d9c046a00e6c3',
  'word-problems': '70607045c25b3ac5',
  'extract-json': '1861b46392e90a3e',
  'extract-parcel': '5ef69e9d21ff1a15',
  'use-tools': '5f5f5bb80012e1c7',
  'fill-middle': 'd8aaccbdf08242ad',
  introduce: '9846f0fccd1f2517',
  'repeat-text': 'df1a747bddd96f59',
  conversation: 'f8603415ade62882',
};

describe('the corpus', () => {
  for (const task of askableTasks) {
    it(`of ${task.name} is what it was, on every machine`, () => {
      const hash = createHash('sha256');
      for (const split of ['train', 'validation', 'test'] satisfies Split[]) {
        for (let index = 0; index < 40; index++) hash.update(JSON.stringify(task.generate(split, index)));
      }
      assert.equal(hash.digest('hex').slice(0, 16), digests[task.name]);
    });
  }
});
