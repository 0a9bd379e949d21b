import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, test } from 'node:test';
import { argumentsOf } from './sandbox.ts';
import { type SandboxLanguage, type SandboxOutcome, SandboxPool } from './sandbox-pool.ts';

const pool = new SandboxPool({ timeoutMs: 500, memoryBytes: { python: 96 << 20, javascript: 24 << 20 } });
after(() => pool[Symbol.asyncDispose]());

const run = (language: SandboxLanguage, source: string, sample: unknown = {}, item: unknown = {}) =>
  pool.run(language, { type: 'grade', source, sample, item });
const python = (body: string) =>
  run('python', `def grade(sample, item):\n${body.replaceAll(/^/gm, '    ')}`, { output_text: '42' }, { answer: 42 });
const javascript = (body: string) =>
  run('javascript', `function grade(sample, item) {\n${body}\n}`, { output_text: '42' }, { answer: 42 });

const one: SandboxOutcome = { type: 'fine', reward: 1 };

function assertMistake(outcome: SandboxOutcome, pattern: RegExp): void {
  assert.equal(outcome.type, 'mistake', JSON.stringify(outcome));
  assert.match('message' in outcome ? outcome.message : '', pattern);
}

test('a program is given the answer and the row, and its number is the reward', async () => {
  assert.deepEqual(await python('return float(sample["output_text"]) == item["answer"]'), one);
  assert.deepEqual(
    await python('import re, json, difflib\nreturn len(re.findall("[0-9]", sample["output_text"])) / 4'),
    {
      ...{ type: 'fine', reward: 0.5 },
    },
  );
  assert.deepEqual(await javascript('return Number(sample.output_text) === item.answer'), one);
  assert.deepEqual(await javascript('return -0.5'), { type: 'fine', reward: -0.5 });
});

test('what is no number is told as a mistake', async () => {
  const cases: [SandboxLanguage, string, RegExp][] = [
    ['python', 'return float("nan")', /expected a finite number, got nan/],
    ['python', 'return float("inf")', /expected a finite number, got inf/],
    ['python', 'return "1"', /expected a number, got str/],
    ['python', 'return None', /expected a number, got NoneType/],
    ['python', 'return "x" * 10_000_000', /expected a number, got str/],
    ['python', 'return 10 ** 5000', /OverflowError/],
    ['python', 'async def later(): return 1.0\nreturn later()', /expected a number, got coroutine/],
    ['python', 'return sample["nothing"]', /line 2: KeyError: 'nothing'/],
    ['python', 'raise SystemExit(3)', /line 2: SystemExit: 3/],
    ['python', 'class Odd(Exception):\n  def __str__(self): raise Exception()\nraise Odd()', /line 4: Odd/],
    ['python', 'class N(float):\n  def __float__(self): raise BaseException("x")\nreturn N(1)', /BaseException: x/],
    ['python', 'return exec("1 +")', /SyntaxError/],
    ['javascript', 'return NaN', /expected a finite number, got NaN/],
    ['javascript', 'return 1 / 0', /expected a finite number, got Infinity/],
    ['javascript', 'return "1"', /expected a number, got string/],
    ['javascript', 'return Promise.resolve(1)', /expected a number, got object/],
    ['javascript', 'return 10n ** 500n', /expected a number, got bigint/],
    ['javascript', 'return "x".repeat(10_000_000)', /expected a number, got string/],
    ['javascript', 'return { valueOf() { return 1; } }', /expected a number, got object/],
    ['javascript', 'return sample.nothing.more', /TypeError: .*\n.*grader\.js:2/],
    ['javascript', 'throw { get message() { throw 1; }, get name() { for (;;); } }', /./],
    ['javascript', 'throw "x".repeat(100_000)', /^threw x{1000,}\.\.\.$/],
  ];
  for (const [language, body, pattern] of cases) {
    const outcome = await (language === 'python' ? python(body) : javascript(body));
    if (body.includes('for (;;)')) assert.notEqual(outcome.type, 'fine');
    else assertMistake(outcome, pattern);
  }
});

test('a source that does not compile or defines nothing is found without an answer', async () => {
  const check = (language: SandboxLanguage, source: string) => pool.run(language, { type: 'check', source });
  assertMistake(await check('python', 'def grade(sample, item):\n  return (1'), /line 2: SyntaxError/);
  assertMistake(
    await check('python', 'def grader(sample, item): return 1'),
    /expected a function grade\(sample, item\)/,
  );
  assertMistake(
    await check('python', 'import socket\ndef grade(sample, item): return 1'),
    /line 1: ModuleNotFoundError/,
  );
  assertMistake(await check('javascript', 'function grade(sample, item) {'), /SyntaxError/);
  assertMistake(await check('javascript', 'const grade = 1;'), /expected a function grade/);
  assert.equal((await check('python', 'def grade(sample, item): return 1')).type, 'fine');
  assert.equal((await check('javascript', 'const grade = () => 1;')).type, 'fine');
});

test('a program that does not end is ended, and the next one runs', async () => {
  const late = async (outcome: Promise<SandboxOutcome>, pattern = /did not end within 0\.5 seconds/) => {
    const came = await outcome;
    assert.equal(came.type, 'late', JSON.stringify(came));
    assert.match('message' in came ? came.message : '', pattern);
  };
  await late(python('while True: pass'), /line 2/);
  await late(javascript('for (;;);'));
  assert.deepEqual(await python('return 1'), one);
  assert.deepEqual(await javascript('return 1'), one);
  // One that will not be interrupted is killed with its process.
  await late(python('while True:\n  try:\n    while True: pass\n  except BaseException: pass'));
  await late(python('return 9 ** 9 ** 9'));
  await late(python('import time\ntime.sleep(1000)\nreturn 1'));
  await late(javascript('return /(a+)+$/.test("a".repeat(60) + "b") ? 1 : 0'));
  await late(javascript('for (;;) { try { for (;;); } catch {} }'));
  assert.deepEqual(await python('return 1'), one);
  assert.deepEqual(await javascript('return 1'), one);
});

test('a program that takes memory without end is stopped, and the next one runs', async () => {
  const programs = [
    python('x = []\nwhile True: x.append(bytearray(1_000_000))'),
    python('return len("x" * 10 ** 9)'),
    javascript('const x = []; for (;;) x.push(new Array(1000).fill(1));'),
    javascript('let x = "x"; for (;;) x += x;'),
    javascript('return new Uint8Array(2 ** 30).length;'),
  ];
  for (const outcome of await Promise.all(programs)) assert.ok(isStopped(outcome), JSON.stringify(outcome));
  assert.deepEqual(await python('return 1'), one);
  assert.deepEqual(await javascript('return 1'), one);
});

function isStopped({ type }: SandboxOutcome): boolean {
  return type === 'memory' || type === 'late' || type === 'died' || type === 'mistake';
}

test('recursion without end is stopped, and the next program runs', async () => {
  const programs = [
    python('return grade(sample, item)'),
    python('import sys\nsys.setrecursionlimit(10 ** 9)\nreturn grade(sample, item)'),
    python('x = []\nfor i in range(200_000): x = [x]\nreturn len(repr(x))'),
    python('import json\nreturn json.loads("[" * 200_000)'),
    python('return eval("(" * 10_000 + ")" * 10_000)'),
    javascript('return grade(sample, item)'),
    javascript('let x = []; for (let i = 0; i < 100_000; i++) x = [x]; return JSON.stringify(x).length'),
    javascript('return JSON.parse("[".repeat(100_000))'),
    javascript('return new RegExp("(".repeat(50_000) + ")".repeat(50_000)).test("") ? 1 : 0'),
  ];
  for (const outcome of await Promise.all(programs)) assert.ok(isStopped(outcome), JSON.stringify(outcome));
  assert.deepEqual(await python('return 1'), one);
  assert.deepEqual(await javascript('return 1'), one);
});

/** Each is code that would succeed in getting out; `grade` is 1 where it does. */
test('python finds no way out', async () => {
  const port = await listening();
  const attempts = [
    'open("/etc/passwd").read()',
    'open("/etc/hostname").read()',
    'open("/tmp/hadal-was-here", "w").write("x")',
    'import os\nos.open("/tmp/hadal-was-here", os.O_CREAT | os.O_RDWR)',
    'import os\nos.mkdir("/tmp/hadal-was-here")',
    'import os\nos.rename("/lib/python314.zip", "/lib/x")',
    'import os\nos.symlink("/", "/tmp/root")',
    'import pathlib\npathlib.Path("/lib/python314.zip").write_bytes(b"")',
    'import tempfile\ntempfile.NamedTemporaryFile()',
    'import socket',
    `import _socket\n_socket.socket().connect(("127.0.0.1", ${port}))`,
    'import ssl',
    `import urllib.request\nurllib.request.urlopen("http://127.0.0.1:${port}/")`,
    'import http.client',
    'import asyncio',
    'import js',
    'from js import fetch',
    'import pyodide',
    'import pyodide_js',
    'import pyodide.http',
    'from pyodide.code import run_js\nrun_js("1")',
    'import _pyodide_core',
    'import ctypes',
    'import _ctypes',
    'import subprocess',
    'import _posixsubprocess',
    'import multiprocessing.process\nmultiprocessing.process.current_process().x',
    'import gc',
    'import os\nassert os.system("true") == 0',
    'import os\nos.fork()',
    'import os\nos.execv("/bin/sh", ["sh"])',
    'import os\nos.spawnv(os.P_WAIT, "/bin/true", ["true"])',
    'import os\nassert "work" in str(dict(os.environ)) or "HADAL" in str(dict(os.environ))',
    'import os\nassert "work" in os.listdir("/")',
    // Past the list of what may be imported, by the import system's own parts.
    'import sys\nsys.meta_path.pop(0)\nimport socket\nsocket.socket()',
    'import sys\nsys.meta_path.pop(0)\nimport ctypes',
    'import _imp, types\nassert _imp.create_builtin(types.SimpleNamespace(name="_ctypes")) is not None',
    'import _imp, types\nassert hasattr(_imp.create_builtin(types.SimpleNamespace(name="_pyodide_core")), "to_js")',
    'import _imp, types\nassert _imp.create_builtin(types.SimpleNamespace(name="_socket")) is not None',
    'from importlib.machinery import BuiltinImporter\nBuiltinImporter.load_module("_ctypes").sizeof',
    'import _imp, types\n_imp.create_dynamic(types.SimpleNamespace(name="x", origin="/lib/python314.zip"))',
    // By whatever can be reached from a plain object.
    `found = []
todo = [object]
while todo:
    each = todo.pop()
    for below in type.__subclasses__(each):
        if below.__name__.startswith("Js"): found.append(below)
        todo.append(below)
assert found
made = []
for each in found:
    for make in (each, lambda *of: each.__new__(each, *of), lambda *of: object.__new__(each)):
        for of in ((), ("x",), ("x", "y", "z"), (1,)):
            try: made.append(make(*of))
            except Exception: pass
assert any(hasattr(each, name) for each in made for name in ("constructor", "js_error", "js_id", "new"))`,
    `import sys
seen, todo = set(), [sys, sys.modules, *sys.meta_path, *sys.path_hooks, __builtins__]
while todo:
    each = todo.pop()
    if id(each) in seen: continue
    seen.add(id(each))
    assert "JsProxy" not in type(each).__name__, "out"
    if isinstance(each, dict): todo.extend(each.values())
    elif isinstance(each, (list, tuple, set)): todo.extend(each)
    if hasattr(each, "__dict__"): todo.extend(dict(vars(each)).values())
    if hasattr(each, "__globals__"): todo.append(each.__globals__)
raise Exception("nothing")`,
  ];
  for (const attempt of attempts) {
    const outcome = await python(`${attempt}\nreturn 1`);
    if (attempt.includes('assert "JsProxy" not in')) assertMistake(outcome, /Exception: nothing/);
    assert.notEqual(outcome.type, 'fine', attempt);
  }
  assert.deepEqual(await python('return 1'), one);
  assert.equal(existsSync('/tmp/hadal-was-here'), false);
  assert.equal(connections, 0);
});

test('javascript finds no way out', async () => {
  const port = await listening();
  const attempts = [
    'require("fs").readFileSync("/etc/passwd")',
    'process.env.PATH.length',
    'process.exit()',
    'this.constructor.constructor("return process")().env',
    'constructor.constructor("return process")().env',
    '(function () {}).constructor("return process")().exit()',
    'globalThis.process.pid',
    'Buffer.from("x")',
    `fetch("http://127.0.0.1:${port}/")`,
    'new XMLHttpRequest()',
    'new WebSocket("ws://127.0.0.1")',
    'std.loadFile("/etc/passwd")',
    'os.exec(["true"])',
    'os.open("/tmp/hadal-was-here", 66)',
    'WebAssembly.Memory',
    'new Worker("x")',
    'setTimeout(() => {}, 0)',
    'console.log(1)',
    'Error.prepareStackTrace = (_, frames) => frames; new Error().stack[0].getThis().process.pid',
    'new Error().stack.at(-1).getFunction()',
    '(await0 => await0.process.pid)(new Proxy({}, {}).constructor.constructor("return globalThis")())',
  ];
  for (const attempt of attempts) {
    assert.notEqual((await javascript(`${attempt};\nreturn 1;`)).type, 'fine', attempt);
  }
  const later = await javascript(
    'import("fs").then((fs) => fs.writeFileSync("/tmp/hadal-was-here", "x")); const way = "/etc/passwd"; import(way); return 1;',
  );
  assert.ok(later.type === 'fine' || later.type === 'mistake');
  await javascript('Object.prototype.reward = 7; Array.prototype.toJSON = () => 7; JSON.parse = () => 7; return 1;');
  assert.equal(Reflect.get({}, 'reward'), undefined);
  assert.deepEqual(await javascript('return Number(sample.output_text) === item.answer'), one);
  assert.equal(existsSync('/tmp/hadal-was-here'), false);
  assert.equal(connections, 0);
});

test('whoever breaks out of the interpreter finds nothing either', async () => {
  const args = argumentsOf('javascript', { timeoutMs: 1000, memoryBytes: 1 << 20 });
  const [settings = '', program = ''] = [args.pop(), args.pop()];
  const escaped = program.replace('javascript-program.ts', 'testing/escaped.ts');
  const child = spawn(process.execPath, [...args, escaped, settings, String(await listening())], { env: {}, cwd: '/' });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    if (said.includes('mistake')) child.stdin.end();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  child.stdin.write('{}\n');
  await new Promise((resolve) => child.on('close', resolve));
  assert.equal(said, '{"type":"ready"}\n{"type":"mistake","message":""}\n');
  assert.equal(existsSync('/tmp/hadal-was-here'), false);
  assert.equal(connections, 0);
});

test('a row cannot be more than a row', async () => {
  const item = JSON.parse('{"__proto__": {"polluted": 1}, "constructor": 2}');
  const js = await run('javascript', 'function grade(s, item) { return ({}).polluted === undefined }', {}, item);
  assert.deepEqual(js, one);
  const hostile = `\u2028"\\\n\r'$\{1}\u0000`;
  const same = await run('python', `def grade(s, i): return s["t"] == ${JSON.stringify(hostile)}`, { t: hostile });
  assert.deepEqual(same, one);
});

test('no program finds what the one before it left', async () => {
  assert.deepEqual(
    await run(
      'python',
      `import builtins, json, math, random, sys, os, decimal, re
count = 1
def grade(sample, item):
    builtins.left = math.left = sys.left = 1
    math.sqrt = lambda x: 7
    builtins.float = builtins.isinstance = lambda *_: 7
    json.JSONDecoder.decode = lambda *_: 7
    decimal.getcontext().prec = 1
    os.environ["LEFT"] = "1"
    sys.modules["left"] = sys
    sys.setrecursionlimit(50)
    random.random()
    os.open("/lib/python314.zip", os.O_RDONLY)
    for change in (lambda: os.chdir("/lib"), lambda: os.close(1), lambda: os.dup2(0, 2), lambda: os.closerange(0, 3)):
        try:
            change()
        except OSError:
            pass
    return 1
`,
    ),
    one,
  );
  const clean = `
import builtins, decimal, json, math, os, random, sys
def grade(sample, item):
    assert not any(hasattr(each, "left") for each in (builtins, math, sys))
    assert math.sqrt(4) == 2 and json.loads("[1]") == [1] and decimal.getcontext().prec == 28
    assert os.getcwd() != "/lib" and all(os.fstat(each) for each in range(3))
    assert "LEFT" not in os.environ and "left" not in sys.modules and sys.getrecursionlimit() == 1000
    return random.random()
`;
  const first = await run('python', clean);
  assert.equal(first.type, 'fine', JSON.stringify(first));
  assert.deepEqual(await run('python', clean), first);

  assert.deepEqual(
    await javascript('globalThis.left = 1; Math.sqrt = () => 7; Object.prototype.left = 1; return 1;'),
    one,
  );
  assert.deepEqual(
    await javascript('return globalThis.left === undefined && Math.sqrt(4) === 2 && ({}).left === undefined;'),
    one,
  );
});

test('Python stays the same over hundreds of programs', async () => {
  const source = `
import difflib, json
class Node: pass
def grade(sample, item):
    nodes = [Node() for _ in range(2000)]
    for each in nodes: each.next = nodes
    text = json.dumps(list(range(item["n"])))
    return difflib.SequenceMatcher(None, text, text).ratio() * item["n"]
`;
  for (let n = 1; n <= 300; n++) {
    assert.deepEqual(await run('python', source, {}, { n: n % 20 }), { type: 'fine', reward: n % 20 });
  }
});

test('several programs at once wait for their turn, and an aborted one lets the others go on', async () => {
  const controller = new AbortController();
  const aborted = pool.run(
    'javascript',
    { type: 'grade', source: 'function grade() { for (;;); }', sample: {}, item: {} },
    controller.signal,
  );
  const others = Array.from({ length: 5 }, (_, i) => javascript(`return ${i}`));
  controller.abort(new Error('enough'));
  await assert.rejects(aborted, /enough/);
  assert.deepEqual(
    (await Promise.all(others)).map((outcome) => (outcome.type === 'fine' ? outcome.reward : outcome)),
    [0, 1, 2, 3, 4],
  );
});

let connections = 0;
const server = createServer((socket) => {
  connections++;
  socket.destroy();
});
after(() => server.close());

async function listening(): Promise<number> {
  if (!server.listening) await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
