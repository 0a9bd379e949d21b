import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { replaceFile, replaceFileByStream, replaceFileInParts } from './replace-file.ts';

test('a file is made, then replaced, and nothing else is left in the directory', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'manifest.json');
  replaceFile(path, 'öld');
  assert.equal(readFileSync(path, 'utf8'), 'öld');
  replaceFileInParts(path, [Buffer.from('new '), new Uint8Array(0), Buffer.from('parts')]);
  assert.equal(readFileSync(path, 'utf8'), 'new parts');
  assert.deepEqual(readdirSync(directory), ['manifest.json']);
});

test('when writing fails midway, the old content stays and the temporary file goes', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'manifest.json');
  replaceFile(path, 'old');
  function* failing(): Iterable<Uint8Array> {
    yield Buffer.from('half');
    // The first part lies in the temporary file by now, under another name than the target's.
    assert.equal(readdirSync(directory).length, 2);
    assert.equal(readFileSync(path, 'utf8'), 'old');
    throw new Error('disk full');
  }
  assert.throws(() => replaceFileInParts(path, failing()), /disk full/);
  assert.equal(readFileSync(path, 'utf8'), 'old');
  assert.deepEqual(readdirSync(directory), ['manifest.json']);
});

test('a file written by a stream appears when it is whole, and not at all when the stream fails', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'shard');
  async function* parts(end: 'whole' | 'failing') {
    yield Buffer.from('half, ');
    assert.equal(readdirSync(directory).includes('shard'), false);
    if (end === 'failing') throw new Error('stopped');
    yield Buffer.from('whole');
  }
  await assert.rejects(replaceFileByStream(path, parts('failing')), /stopped/);
  assert.deepEqual(readdirSync(directory), []);
  await replaceFileByStream(path, parts('whole'));
  assert.equal(readFileSync(path, 'utf8'), 'half, whole');
  assert.deepEqual(readdirSync(directory), ['shard']);
});
