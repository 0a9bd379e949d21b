import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { withKeepAlive } from './keep-alive.ts';

test('pieces pass in order, and fillers come only while there is silence', async () => {
  async function* source() {
    yield 'a';
    yield 'b';
    await delay(70);
    yield 'c';
  }
  const pieces = await Array.fromAsync(withKeepAlive(source(), 20, '.'));
  const fillers = pieces.filter((piece) => piece === '.');
  assert.deepEqual(pieces, ['a', 'b', ...fillers, 'c']);
  assert.ok(fillers.length >= 2 && fillers.length <= 4, `got ${fillers.length} fillers`);
});

test('no piece is pulled before it is asked for', async () => {
  let pulled = 0;
  async function* source() {
    for (;;) yield String(++pulled);
  }
  const pieces = withKeepAlive(source(), 1000, '.');
  await pieces.next();
  await pieces.next();
  await delay(5);
  assert.equal(pulled, 2);
  await pieces.return();
});

test('a failure of the source is passed on, and a reader who leaves ends the source', async () => {
  let isOver = false;
  async function* source(failure?: Error) {
    try {
      yield 'a';
      if (failure !== undefined) throw failure;
      yield 'b';
    } finally {
      isOver = true;
    }
  }
  await assert.rejects(Array.fromAsync(withKeepAlive(source(new Error('lost')), 20, '.')), /lost/);
  isOver = false;
  for await (const _ of withKeepAlive(source(), 20, '.')) break;
  assert.equal(isOver, true);
});
