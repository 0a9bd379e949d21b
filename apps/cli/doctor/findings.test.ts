import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addressFinding,
  compilerFinding,
  configurationFindings,
  diskFinding,
  filesFinding,
  memoryFinding,
  modelFinding,
  nodeFinding,
  processorFinding,
  reachableFinding,
  type Tried,
  tokenizerFinding,
  upstreamFindings,
  verdict,
} from './findings.ts';
import type { UpstreamAnswer } from './upstream-server.ts';

const done: Tried = { type: 'done' };
const failed = (reason: string): Tried => ({ type: 'failed', reason });

test('kernels that are built work without a compiler, which is then worth a warning', () => {
  assert.equal(compilerFinding({ compiler: 'g++ 14', built: failed('none') }).status, 'ok');
  assert.equal(compilerFinding({ compiler: undefined, built: done }).status, 'warning');
  assert.equal(compilerFinding({ compiler: undefined, built: failed('none') }).status, 'problem');
});

test('a processor without vector instructions works slowly, and kernels that cannot be loaded not at all', () => {
  assert.deepEqual(processorFinding(done, ['avx512', 'avx2', 'portable'], 'Xeon', 2), {
    ...{ check: 'processor', status: 'ok', message: 'Xeon, 2 threads, kernels for avx512' },
  });
  assert.equal(processorFinding(done, ['portable'], 'old', 1).status, 'warning');
  const broken = processorFinding(failed('out of date'), [], 'Xeon', 2);
  assert.deepEqual([broken.status, broken.message], ['problem', 'kernels cannot be loaded: out of date']);
});

test('memory, disk and open files are judged by what a server needs of them', () => {
  assert.equal(memoryFinding(8e9, 16e9).message, '8.00 GB of 16.0 GB available');
  assert.equal(memoryFinding(0.5e9, 16e9).status, 'warning');
  const disk = { path: '/var/lib/hadal', writable: done, freeBytes: 50e9, cacheBytes: 4e9 };
  assert.equal(diskFinding(disk).status, 'ok');
  assert.equal(diskFinding({ ...disk, freeBytes: 3e9 }).status, 'warning');
  assert.equal(diskFinding({ ...disk, freeBytes: 3e9, cacheBytes: 0 }).status, 'ok');
  assert.equal(diskFinding({ ...disk, freeBytes: 1e8 }).status, 'problem');
  assert.match(diskFinding({ ...disk, writable: failed('EROFS') }).message, /cannot be written to \(EROFS\)/);
  assert.deepEqual(
    [1024, 65_536, undefined, Number.POSITIVE_INFINITY].map((limit) => filesFinding(limit).status),
    ['warning', 'ok', 'ok', 'ok'],
  );
});

test('a model that does not fit is a problem with its numbers', () => {
  const needed = { bytes: 2e9, context: 4096 };
  assert.equal(modelFinding('m', done, needed).message, 'm needs 2.00 GB for 4096 tokens of context');
  const finding = modelFinding('m', failed('needs 700 GB'), needed);
  assert.deepEqual([finding.status, finding.message], ['problem', 'needs 700 GB']);
});

test('a port is free, has a server of ours, or somebody else', () => {
  const seen = { what: 'server', host: '127.0.0.1', port: 80, listening: done, isOurs: false };
  assert.equal(addressFinding(seen).message, 'port 80 on 127.0.0.1 is free');
  assert.match(addressFinding({ ...seen, host: '0.0.0.0' }).message, /others on the network can connect/);
  assert.equal(addressFinding({ ...seen, listening: failed('EADDRINUSE'), isOurs: true }).status, 'warning');
  assert.equal(addressFinding({ ...seen, listening: failed('EADDRINUSE') }).status, 'problem');
});

test('every mistake of a configuration is a finding; without a file there is none', () => {
  assert.deepEqual(
    configurationFindings('a.yaml', ['a.yaml:1: x', 'a.yaml:2: y']).map(({ status, message }) => [status, message]),
    [
      ['problem', 'a.yaml:1: x'],
      ['problem', 'a.yaml:2: y'],
    ],
  );
  assert.deepEqual(configurationFindings(undefined, []), [
    { check: 'configuration', status: 'ok', message: 'no file, so defaults hold' },
  ]);
});

test('a server of an upstream is well where it answers and has the model, and another makes good one that is away', () => {
  const well: UpstreamAnswer = { type: 'listed', ms: 12.3, models: ['m', 'n'], flavour: 'vllm' };
  const away: UpstreamAnswer = { type: 'silent', reason: 'ECONNREFUSED' };
  const judged = (...answers: UpstreamAnswer[]) =>
    upstreamFindings(
      'far',
      'm',
      answers.map((answer, i) => ({ url: `http://${i}/v1`, keyEnv: i === 0 ? 'KEY' : undefined, answer })),
    );
  const statuses = (...answers: UpstreamAnswer[]) => judged(...answers).map(({ status }) => status);
  assert.deepEqual(judged(well), [
    { check: 'upstream far', status: 'ok', message: 'http://0/v1 answers 200 within 12 ms and has m' },
  ]);
  assert.deepEqual(statuses(well, away), ['ok', 'warning']);
  assert.deepEqual(statuses(away, away), ['problem', 'problem']);
  assert.deepEqual(statuses({ type: 'keyless' }, well), ['problem', 'ok'], 'nothing starts without it');
  const other: UpstreamAnswer = { ...well, models: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] };
  const [finding] = judged(other);
  assert.equal(finding?.status, 'problem');
  assert.match(finding?.message ?? '', /within 12 ms and does not list m, but a, b, c, d, e and 2 more$/);
  assert.deepEqual(statuses({ ...other, flavour: 'llama-server' }), ['warning'], 'which takes any name');
  assert.deepEqual(statuses({ type: 'unlisted', ms: 1 }), ['warning']);
  const refused = (status: number): UpstreamAnswer => ({ type: 'refused', status, place: 'models' });
  const remedies = judged(refused(401), refused(401), refused(503)).map((one) => ('remedy' in one ? one.remedy : ''));
  for (const [i, pattern] of [/the key in KEY/, /key_env/, /loading/].entries())
    assert.match(remedies[i] ?? '', pattern);
  assert.equal(tokenizerFinding('far', 'here', failed('here: no')).status, 'problem');
});

test('the verdict is the worst finding, and what is not fine says what to do', () => {
  const [ok, warning] = [nodeFinding('24.1.0', '24.1.0'), nodeFinding('24.1.0', '24.2.0')];
  const problem = reachableFinding('traces', 'http://a', failed('ECONNREFUSED'));
  assert.equal(reachableFinding('traces', 'http://a', done).status, 'ok');
  assert.deepEqual([[], [ok], [ok, warning], [warning, problem, ok]].map(verdict), ['ok', 'ok', 'warning', 'problem']);
  for (const finding of [warning, problem]) assert.ok('remedy' in finding && finding.remedy !== '');
});
