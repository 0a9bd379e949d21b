import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { PageFiles, pageName } from './page-files.ts';

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'hadal-pages-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

const page = (fill: number) => new Uint8Array(1000).fill(fill);
const name = (...tokens: number[]) => pageName(undefined, 'model', tokens);
const fileOf = (directory: string, key: Buffer) => join(directory, `${key.toString('hex')}.page`);

test('a page comes back as it was written, after a restart too, and under its own name only', async (t) => {
  const directory = directoryOf(t);
  const files = new PageFiles({ directory, maxBytes: 1e6 });
  await files.write(name(1, 2), page(7));
  for (const each of [files, new PageFiles({ directory, maxBytes: 1e6 })]) {
    assert.deepEqual(Uint8Array.from(each.read(name(1, 2), 1000) ?? []), page(7));
    assert.equal(each.read(name(1, 3), 1000), undefined);
    assert.equal(each.has(name(1, 2)), true);
  }
});

test('a name depends on the model, the namespace and every token before', () => {
  const names = [
    pageName(undefined, 'model a', [1, 2]),
    pageName(undefined, 'model b', [1, 2]),
    pageName(undefined, 'model a', [1, 3]),
    pageName(pageName(undefined, 'model a', [1]), 'model a', [2]),
    pageName(pageName(undefined, 'model a', [2]), 'model a', [2]),
  ];
  assert.equal(new Set(names.map(String)).size, names.length);
});

test('a damaged, foreign, short or misnamed file is skipped, removed, and written anew', async (t) => {
  const directory = directoryOf(t);
  const key = name(5);
  const damage: ((path: string) => void)[] = [
    (path) => truncateSync(path, 500),
    (path) => writeFileSync(path, 'something else'),
    (path) => {
      const bytes = readFileSync(path);
      bytes[900] = (bytes[900] ?? 0) ^ 1;
      writeFileSync(path, bytes);
    },
    (path) => {
      const other = new PageFiles({ directory: `${directory}/other`, maxBytes: 1e6 });
      return other.write(name(6), page(6)).then(() => {
        writeFileSync(path, readFileSync(fileOf(`${directory}/other`, name(6))));
      });
    },
    (path) => rmSync(path),
  ];
  for (const harm of damage) {
    const files = new PageFiles({ directory, maxBytes: 1e6 });
    await files.write(key, page(1));
    await harm(fileOf(directory, key));
    assert.equal(files.read(key, 1000), undefined);
    assert.equal(files.has(key), false);
    await files.write(key, page(1));
    assert.deepEqual(Uint8Array.from(files.read(key, 1000) ?? []), page(1));
    // A page of another size is another layout: not to be trusted either.
    assert.equal(files.read(key, 999), undefined);
  }
});

test('the directory stays under its size, and what was read longest ago goes first', async (t) => {
  const directory = directoryOf(t);
  const files = new PageFiles({ directory, maxBytes: 3500 });
  for (const i of [1, 2, 3]) await files.write(name(i), page(i));
  assert.ok(files.read(name(1), 1000));
  await files.write(name(4), page(4));
  assert.deepEqual(
    [1, 2, 3, 4].map((i) => files.has(name(i))),
    [true, false, true, true],
  );
  assert.equal(readdirSync(directory).length, 3);
  assert.ok(new PageFiles({ directory, maxBytes: 1200 }).bytes <= 1200);
  assert.equal(readdirSync(directory).length, 1);
});

test('what a killed process left half written is cleared away', (t) => {
  const directory = directoryOf(t);
  writeFileSync(`${fileOf(directory, name(1))}.tmp`, 'half');
  new PageFiles({ directory, maxBytes: 1e6 });
  assert.deepEqual(readdirSync(directory), []);
});
