import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildKernels } from './build.ts';

test('without a compiler there is one line that says what to install', async () => {
  await assert.rejects(buildKernels({ compiler: '/nowhere/c++' }), (error: Error) => {
    assert.match(
      error.message,
      /^no C\+\+17 compiler: \/nowhere\/c\+\+ cannot be run\. Install one \(.+\) or name one in CXX\.$/,
    );
    return true;
  });
});

test('a build that is up to date compiles nothing', async () => {
  const options = { compiler: process.env.CXX };
  await buildKernels(options);
  const lines: string[] = [];
  await buildKernels({ ...options, log: (line) => lines.push(line) });
  assert.deepEqual(lines, []);
});
