// The image and the unit, as far as they can be judged without building the one and starting the other.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { serverFlags, serverMallocPools } from '../scripts/server-process.mjs';

const root = join(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const launched = 'apps/cli/hadal.ts';

/** Instructions with their arguments, continued lines as one. */
function instructions(dockerfile: string): { readonly name: string; readonly rest: string }[] {
  return dockerfile
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [, name = '', rest = ''] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
      return { name, rest };
    });
}

test('the image has the Node of package.json, is not root, writes to its volume only and starts our program', () => {
  const all = instructions(read('Dockerfile'));
  const of = (name: string) => all.filter((one) => one.name === name).map(({ rest }) => rest);
  const known = ['FROM', 'RUN', 'WORKDIR', 'COPY', 'ENV', 'USER', 'VOLUME', 'EXPOSE', 'STOPSIGNAL', 'HEALTHCHECK'];
  assert.deepEqual(
    all.filter(({ name }) => ![...known, 'ENTRYPOINT', 'CMD'].includes(name)),
    [],
  );
  const { devDependencies } = JSON.parse(read('package.json'));
  const base = `node:${devDependencies.node}-bookworm-slim`;
  assert.deepEqual(of('FROM'), [`${base} AS build`, base]);
  assert.deepEqual(of('USER'), ['10001:10001']);
  const last = all.findLastIndex(({ name }) => name === 'FROM');
  const user = all.findIndex(({ name }) => name === 'USER');
  assert.ok(user > last && !all.slice(user).some(({ name }) => name === 'RUN' || name === 'COPY'));
  const [volume = ''] = of('VOLUME');
  assert.match(of('ENV')[0] ?? '', new RegExp(`HADAL_HOME=${volume}( |$)`));
  const [, check = ''] = /CMD (.*)$/.exec(of('HEALTHCHECK')[0] ?? '') ?? [];
  for (const exec of [...of('ENTRYPOINT'), ...of('CMD'), check]) assert.ok(Array.isArray(JSON.parse(exec)), exec);
  assert.deepEqual(JSON.parse(of('ENTRYPOINT')[0] ?? ''), ['node', ...serverFlags, launched]);
  assert.match(of('ENV')[1] ?? '', new RegExp(`MALLOC_ARENA_MAX=${serverMallocPools} NODE_COMPILE_CACHE=${volume}/`));
  assert.ok(existsSync(join(root, launched)));
});

test('what the image leaves out is nothing that the program reads', () => {
  const ignored = read('.dockerignore')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  for (const needed of ['apps', 'packages', 'models', 'package.json', 'package-lock.json', 'scripts', 'recipes']) {
    assert.ok(existsSync(join(root, needed)) && !ignored.includes(needed), needed);
  }
  for (const unwanted of ['.git', '**/node_modules', '**/*.node']) assert.ok(ignored.includes(unwanted), unwanted);
});

test('the unit has a user of its own, a read-only file system and a way to reload, and systemd understands it', (t) => {
  const unit = read('deploy/hadal.service');
  const settings = new Set(unit.split('\n').filter((line) => /^[A-Z]\w*=/.test(line)));
  for (const setting of [
    ...['DynamicUser=yes', 'StateDirectory=hadal', 'ProtectSystem=strict', 'ProtectHome=yes', 'NoNewPrivileges=yes'],
    ...['CapabilityBoundingSet=', 'PrivateDevices=yes', 'ExecReload=kill -HUP $MAINPID'],
    ...['Environment=HADAL_HOME=/var/lib/hadal', 'WorkingDirectory=/opt/hadal'],
    ...[`Environment=MALLOC_ARENA_MAX=${serverMallocPools}`, 'CacheDirectory=hadal'],
  ]) {
    assert.ok(settings.has(setting), setting);
  }
  const [, node = '', program = ''] = /^ExecStart=(\S+) (.+) serve /m.exec(unit) ?? [];
  assert.equal(node, '/opt/hadal/node_modules/node/bin/node');
  assert.equal(program, [...serverFlags, launched].join(' '));
  if (spawnSync('systemd-analyze', ['--version']).status !== 0) {
    t.diagnostic('no systemd here to ask');
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), 'hadal-unit-'));
  const copy = join(directory, 'hadal.service');
  // systemd asks whether the program is there.
  writeFileSync(copy, unit.replace(node, process.execPath));
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', copy], { encoding: 'utf8' });
  rmSync(directory, { recursive: true });
  assert.deepEqual([status, stderr.split('\n').filter((line) => line.includes('hadal.service'))], [0, []]);
});
