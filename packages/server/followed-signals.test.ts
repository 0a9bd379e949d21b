import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { followSignals } from './followed-signals.ts';

test('a controller aborts with any of the signals it follows, also with one that has aborted before', () => {
  const [first, second] = [new AbortController(), new AbortController()];
  const following = followSignals(first.signal, second.signal);
  assert.equal(following.signal.aborted, false);
  second.abort();
  assert.equal(following.signal.aborted, true);
  assert.equal(followSignals(first.signal, second.signal).signal.aborted, true);
});

test('one that is disposed of follows nobody and leaves nothing behind', () => {
  const source = new AbortController();
  const following = followSignals(source.signal);
  following[Symbol.dispose]();
  assert.deepEqual(getEventListeners(source.signal, 'abort'), []);
  source.abort();
  assert.equal(following.signal.aborted, false);
});

test('one that is aborted by itself aborts none of those it follows', () => {
  const source = new AbortController();
  using following = followSignals(source.signal);
  following.abort();
  assert.equal(source.signal.aborted, false);
});
