// Builds the addon: `node packages/kernels/build.ts`, or `buildKernels` from another script.
//
// Calls the C++ compiler directly with the headers of node-api-headers, so nothing is downloaded. Owns the choice of flags
// and instruction sets and the cache in build/; knows nothing of what the units contain. A unit in kernel-units is compiled
// once for each instruction set. Invariant: build/hadal.node is replaced in one rename and only when everything compiled, so
// a process that has it open, or starts meanwhile, sees a whole addon.
//
// While editing: `build.ts norm` only compiles native/norm.cc and shows its errors; `build.ts --keep-going` links the last
// good version of a unit that does not compile.

import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { operations } from './operations.ts';

export interface BuildOptions {
  /** The compiler; c++ when absent. */
  readonly compiler?: string | undefined;
  readonly log?: (line: string) => void;
  /** Compile just these units (`norm` for native/norm.cc) and do not link. */
  readonly only?: readonly string[];
  /** Link the last object that compiled in place of one that does not. */
  readonly keepGoing?: boolean;
}

const native = join(import.meta.dirname, 'native');
const output = join(import.meta.dirname, 'build');

// Compiled once, for the baseline of the processor: they may include the standard library.
const hostUnits = ['addon', 'executor', 'memory', 'pool'];

// -ffp-contract=off: a product and a sum fuse where the source says fma(), never at the optimizer's discretion, which
// could differ between two places that must agree in bits.
const commonFlags = ['-std=c++17', '-O3', '-fPIC', '-fvisibility=hidden', '-Wall', '-Wextra', '-ffp-contract=off'];
const hostFlags = ['-DNAPI_VERSION=8', '-pthread'];
// -Wno-psabi: vectors wider than the baseline's registers never cross a compiled function's boundary.
const kernelFlags = [
  '-fno-exceptions',
  '-fno-rtti',
  '-fno-math-errno',
  '-fno-trapping-math',
  '-fno-tree-slp-vectorize',
  '-Wno-psabi',
];

const isaFlags: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  x64: {
    portable: [],
    avx2: ['-mavx2', '-mfma', '-mf16c', '-mtune=haswell'],
    avx512: [
      ...['-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mavx512vnni', '-mavx2', '-mfma', '-mf16c'],
      ...['-mprefer-vector-width=512', '-mtune=icelake-server'],
    ],
  },
  arm64: { portable: [], neon: ['-DHADAL_NEON'] },
};

/** Brings build/hadal.node up to date and returns its path. Throws an Error of one line when there is no compiler. */
export async function buildKernels(options: BuildOptions = {}): Promise<string> {
  const compiler = options.compiler ?? 'c++';
  const log = options.log ?? (() => {});
  const version = compilerVersion(compiler);
  mkdirSync(output, { recursive: true });
  const tableSource = kernelsDef();
  writeWhenChanged(join(output, 'kernels.def'), tableSource);

  const headers = readdirSync(native).filter((name) => name.endsWith('.h'));
  const common = [version, process.arch, ...headers.map((name) => readFileSync(join(native, name), 'utf8'))];
  const jobs = compilations().filter((job) => options.only === undefined || options.only.includes(job.unit));
  const pending = jobs.filter((job) => {
    const source = readFileSync(join(native, `${job.unit}.cc`), 'utf8');
    const table = source.includes('kernels.def') ? tableSource : '';
    job.hash = sha256([...common, ...job.flags, source, table]);
    return !existsSync(job.object) || readIfThere(`${job.object}.hash`) !== job.hash;
  });

  const failures: string[] = [];
  const queue = [...pending];
  const compileAll = async () => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      const started = Date.now();
      const temporary = `${job.object}.${process.pid}`;
      mkdirSync(dirname(job.object), { recursive: true });
      const args = [...job.flags, '-c', join(native, `${job.unit}.cc`), '-o', temporary];
      const { ok, text } = await call(compiler, args);
      if (text !== '') log(text);
      if (!ok) {
        failures.push(job.name);
        continue;
      }
      renameSync(temporary, job.object);
      writeFileSync(`${job.object}.hash`, job.hash);
      log(`compiled ${job.name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, compileAll));
  const path = join(output, 'hadal.node');
  if (failures.length > 0 && !options.keepGoing) {
    throw new Error(`the kernels did not compile: ${failures.join(', ')}`);
  }
  if (options.only !== undefined) return path;

  const objects = jobs.map((job) => job.object).filter((object) => existsSync(object));
  const linkHash = sha256(objects.map((object) => readIfThere(`${object}.hash`)));
  if (!existsSync(path) || readIfThere(`${path}.hash`) !== linkHash) {
    const temporary = `${path}.${process.pid}`;
    const platform = process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : [];
    const args = ['-shared', '-pthread', ...platform, ...objects, '-o', temporary];
    const { ok, text } = await call(compiler, args);
    if (!ok) throw new Error(`the kernels did not link: ${text}`);
    renameSync(temporary, path);
    writeFileSync(`${path}.hash`, linkHash);
    log(`linked ${path}`);
  }
  return path;
}

interface Compilation {
  readonly unit: string;
  readonly name: string;
  readonly object: string;
  readonly flags: readonly string[];
  hash: string;
}

/** Every unit with its flags: host units once, all others once for each instruction set. */
function compilations(): Compilation[] {
  const headers: string = createRequire(import.meta.url)('node-api-headers').include_dir;
  const isas = isaFlags[process.arch] ?? { portable: [] };
  const units = readdirSync(native)
    .filter((name) => name.endsWith('.cc'))
    .map((name) => name.slice(0, -3));
  return units.flatMap((unit) => {
    const base = [...commonFlags, '-I', output];
    const object = (isa: string) => join(output, 'objects', isa, `${unit}.o`);
    if (hostUnits.includes(unit)) {
      return [{ unit, name: unit, object: object('host'), flags: [...base, ...hostFlags, '-I', headers], hash: '' }];
    }
    return Object.entries(isas).map(([isa, flags]) => ({
      unit,
      name: `${unit} for ${isa}`,
      object: object(isa),
      flags: [...base, ...kernelFlags, ...flags, `-DHADAL_ISA=${isa}`],
      hash: '',
    }));
  });
}

/** `rmsNorm: 'x:t y:T'` becomes `KERNEL(rmsNorm, rms_norm, "x:t y:T")`. */
function kernelsDef(): string {
  const rows = Object.entries(operations).map(([name, signature]) => {
    const symbol = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return `KERNEL(${name}, ${symbol}, "${signature}")\n`;
  });
  return `// Written by build.ts from operations.ts.\n${rows.join('')}`;
}

function compilerVersion(compiler: string): string {
  const { status, stdout } = spawnSync(compiler, ['--version'], { encoding: 'utf8' });
  if (status === 0) return stdout;
  const install = process.platform === 'darwin' ? 'xcode-select --install' : 'apt install g++, or dnf install gcc-c++';
  throw new Error(`no C++17 compiler: ${compiler} cannot be run. Install one (${install}) or name one in CXX.`);
}

function call(command: string, args: readonly string[]): Promise<{ ok: boolean; text: string }> {
  return new Promise((resolve) => {
    execFile(command, args, { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ ok: error === null, text: `${stdout}${stderr}`.trim() });
    });
  });
}

function sha256(parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex');
}

function readIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

function writeWhenChanged(path: string, text: string): void {
  if (readIfThere(path) !== text) writeFileSync(path, text);
}

if (import.meta.main) {
  const names = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
  try {
    await buildKernels({
      compiler: process.env.CXX,
      log: console.log,
      ...(names.length > 0 && { only: names }),
      keepGoing: process.argv.includes('--keep-going'),
    });
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
