// The process in which python graders run.
//
// Owns how Pyodide is loaded, stripped and asked for one number. Once it stands, its whole memory is copied; before each program the
// copy is put back, so that every program finds the same Python, byte for byte, whatever the one before it did: no global, no patched
// module, no seed of a random number is carried over. Python sees no JavaScript, and its file system takes no writes.

import { constants } from 'node:fs';
import type { loadPyodide as LoadPyodide } from 'pyodide';
import type { SandboxReply, SandboxRequest, SandboxSettings } from './messages.ts';
import { pythonHost } from './python-host.ts';
import { serveSealed, shortened } from './sealed-realm.ts';

/** What is used of Emscripten's module, which has no types. */
interface EmscriptenModule {
  readonly HEAPU8: Uint8Array;
  readonly HEAPU32: Uint32Array;
  readonly FS: EmscriptenFiles;
  readonly SOCKFS: Record<string, unknown>;
}

interface EmscriptenFiles extends Record<string, unknown> {
  readonly ErrnoError: new (errno: number) => Error;
  readonly streams: readonly (object | null | undefined)[];
  readonly filesystems: Record<string, unknown>;
  open(path: unknown, flags?: number | string, mode?: number): unknown;
  close(stream: object): void;
}

const { timeoutMs, interpreter }: SandboxSettings = JSON.parse(process.argv[2] ?? '{}');
const { cpuUsage } = process;

// Emscripten asks for numbers of Node's own that the permission model keeps back; they are in `constants`, too.
Reflect.set(process, 'binding', () => ({ fs: constants }));
const { loadPyodide }: { loadPyodide: typeof LoadPyodide } = await import(`${interpreter}pyodide.mjs`);
const pyodide = await loadPyodide({
  indexURL: new URL(interpreter).pathname,
  // What `import js` finds: nothing.
  jsglobals: Object.create(null),
  env: { HOME: '/', PYTHONHASHSEED: '0', _: 'python' },
  stdin: () => '',
  stdout: () => {},
  stderr: () => {},
});
const python: EmscriptenModule = Reflect.get(pyodide, '_module');

const constantBytes = 8 << 20;
let deadlineMs = Infinity;
let isLate = false;
// Python looks here for signals every few instructions; 2 is an interrupt.
const signals = {
  get 0(): number {
    if (computedMs() <= deadlineMs) return 0;
    isLate = true;
    // Time to say where it was.
    deadlineMs += 100;
    return 2;
  },
  set 0(_signal: number) {},
};
pyodide.setInterruptBuffer(signals as unknown as Uint8Array);

const host = pyodide.runPython(pythonHost);
const answer = (request: SandboxRequest): string => host(JSON.stringify(request));
unplugBuiltins(host.blocked_builtins.split('\n'));
sealFiles(python.FS, python.SOCKFS);
const { empty } = host;
empty();
// What is done only once is done.
answer({ type: 'grade', source: 'def grade(sample, item): return 1', sample: {}, item: {} });
const openAtFirst = python.FS.streams.length;
const pristine = python.HEAPU8.slice();

serveSealed(handle);

function handle(request: SandboxRequest): SandboxReply {
  restore();
  isLate = false;
  deadlineMs = computedMs() + timeoutMs;
  try {
    const [type = '', ...lines] = answer(request).split('\n');
    const detail = lines.join('\n');
    if (isLate)
      return { type: 'late', message: `did not end within ${timeoutMs / 1000} seconds: ${shortened(detail)}` };
    if (type === 'fine') return { type, reward: Number(detail) };
    return { type: type === 'memory' ? type : 'mistake', message: shortened(detail) };
  } finally {
    deadlineMs = Infinity;
  }
}

function computedMs(): number {
  const { user, system } = cpuUsage();
  return (user + system) / 1000;
}

/** The memory as it was; what has been added to it is cleared, as memory cannot be given back. */
function restore(): void {
  for (const stream of python.FS.streams.slice(openAtFirst)) if (stream) python.FS.close(stream);
  python.HEAPU8.set(pristine);
  python.HEAPU8.fill(0, pristine.length);
}

/**
 * Takes modules out of the table of those that Python has built in, where their names and functions stand side by side: they cannot be
 * imported any more, not even by asking the import system's own parts.
 */
function unplugBuiltins(names: readonly string[]): void {
  // Names are constants of the program, which stand before all that it allocates.
  const bytes = Buffer.from(python.HEAPU8.buffer, 0, constantBytes);
  /** Where the name that stands at an address ends. */
  const ends = new Map<number, number>();
  for (const name of names) {
    const pattern = Buffer.from(`\0${name}\0`);
    for (let at = bytes.indexOf(pattern); at >= 0; at = bytes.indexOf(pattern, at + 1)) {
      ends.set(at + 1, at + 1 + name.length);
    }
  }
  const low = Math.min(...ends.keys());
  const high = Math.max(...ends.keys());
  const words = python.HEAPU32;
  for (let i = 0; i + 1 < words.length; i++) {
    const word = words[i] ?? 0;
    if (word < low || word > high) continue;
    const end = ends.get(word);
    const entry = words[i + 1] ?? 0;
    // An index into the table of functions is small; an address is not.
    if (end !== undefined && entry > 0 && entry < 65536) words[i] = end;
  }
}

/** Files can be read, of which there is only the standard library; none can be made or changed. Sockets cannot be made. */
function sealFiles(files: EmscriptenFiles, sockets: Record<string, unknown>): void {
  const readOnly = 69;
  const refuse = (): never => {
    throw new files.ErrnoError(readOnly);
  };
  const { open } = files;
  const writing = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000;
  files.open = (path, flags = 0, mode) =>
    typeof flags === 'number' && (flags & writing) === 0 ? open(path, flags, mode) : refuse();
  const changes = [
    ...['create', 'mkdir', 'mknod', 'mkdev', 'symlink', 'rename', 'rmdir', 'unlink', 'truncate', 'ftruncate', 'chmod'],
    ...[
      'fchmod',
      'lchmod',
      'chown',
      'fchown',
      'lchown',
      'utime',
      'mount',
      'unmount',
      'writeFile',
      'createDevice',
      'syncfs',
    ],
  ];
  for (const name of changes) files[name] = refuse;
  // Where Python is, and its own streams, lie outside of its memory: what one program did to them the next one would find.
  files.chdir = refuse;
  const { close } = files;
  const own = new Set(files.streams);
  files.close = (stream) => (own.has(stream) ? refuse() : close(stream));
  for (const name of Object.keys(files.filesystems)) {
    if (name !== 'MEMFS') Reflect.deleteProperty(files.filesystems, name);
  }
  for (const name of ['createSocket', 'mount']) sockets[name] = refuse;
}
