import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killAgainAndAgain } from './testing/usage-kills.ts';

// A thousand take minutes: node packages/server/testing/usage-kills.ts 1000
test('a server that is killed while it answers loses no usage that a client saw, and counts none twice', async () => {
  const { completed, rows } = await killAgainAndAgain(15, 3);
  assert.ok(completed > 5, `${completed}`);
  assert.ok(rows >= completed && rows <= completed + 15 * 4, `${rows} rows for ${completed}`);
});
