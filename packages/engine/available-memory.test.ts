import assert from 'node:assert/strict';
import { test } from 'node:test';
import { availableMemory } from './available-memory.ts';

const gigabyte = 2 ** 30;
const meminfo = `MemTotal:       33554432 kB\nMemFree:         1048576 kB\nMemAvailable:   16777216 kB\n`;

function available(files: Readonly<Record<string, string>>): number {
  return availableMemory((path) => files[path]);
}

test('without limits it is what the system can free', () => {
  assert.equal(available({ '/proc/meminfo': meminfo, '/proc/self/cgroup': '0::/\n' }), 16 * gigabyte);
});

test('a control group limits it, wherever above the process the limit stands; cached files are not counted as taken', () => {
  const files = {
    '/proc/meminfo': meminfo,
    '/proc/self/cgroup': '0::/pod/container\n',
    '/sys/fs/cgroup/pod/container/memory.max': 'max\n',
    '/sys/fs/cgroup/pod/container/memory.current': `${gigabyte}\n`,
    '/sys/fs/cgroup/pod/memory.max': `${8 * gigabyte}\n`,
    '/sys/fs/cgroup/pod/memory.current': `${5 * gigabyte}\n`,
    '/sys/fs/cgroup/pod/memory.stat': `anon 1\nfile 2\ninactive_file ${3 * gigabyte}\n`,
  };
  assert.equal(available(files), 6 * gigabyte);
  assert.equal(available({ ...files, '/sys/fs/cgroup/pod/memory.current': `${12 * gigabyte}\n` }), 0);
});

test('version 1 of control groups limits it too', () => {
  const files = {
    '/proc/meminfo': meminfo,
    '/proc/self/cgroup': '4:cpu:/x\n3:cpuset,memory:/docker/abc\n',
    '/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes': `${4 * gigabyte}`,
    '/sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes': `${3 * gigabyte}`,
    '/sys/fs/cgroup/memory/docker/abc/memory.stat': `inactive_file 5\ntotal_inactive_file ${gigabyte}\n`,
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712',
    '/sys/fs/cgroup/memory/memory.usage_in_bytes': `${20 * gigabyte}`,
  };
  assert.equal(available(files), 2 * gigabyte);
});

test('this machine has some', () => {
  assert.ok(availableMemory() > 2 ** 20);
});
