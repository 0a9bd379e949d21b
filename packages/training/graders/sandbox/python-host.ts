// The Python side of python-program.ts.
//
// Owns the Python source that removes what Pyodide adds to Python, and that runs one grader and says what came of it. It is run once,
// before the memory is copied. Its value is a function: JSON of a request to a line that says
// what came of it and one with the reward or a message.

/** Modules that lead to JavaScript, to memory or to the machine, with all that is below them. */
const blocked = [
  ...['js', 'pyodide', 'pyodide_js', '_pyodide', '_pyodide_core', 'micropip', 'ctypes', '_ctypes', 'mmap', 'gc'],
  ...['socket', '_socket', 'ssl', '_ssl', 'select', 'selectors', 'asyncio', '_asyncio', 'fcntl', 'termios', 'signal'],
  ...['subprocess', '_posixsubprocess', 'multiprocessing', 'concurrent', 'webbrowser', 'http', 'ftplib', 'smtplib'],
  ...['poplib', 'imaplib', 'socketserver', 'xmlrpc', 'faulthandler', '_remote_debugging', 'sqlite3', '_sqlite3'],
  ...['_testcapi', '_testinternalcapi', '_testlimitedcapi', '_testclinic', '_testclinic_limited', '_testbuffer'],
  ...['_xxtestfuzz', 'xxsubtype', '_tracemalloc', 'tracemalloc', '_interpreters', 'pip', 'ensurepip', 'venv'],
];

/** What graders use most: loaded once instead of for each. */
const loaded = [
  ...['json', 're', 'math', 'string', 'random', 'statistics', 'collections', 'itertools', 'functools', 'operator'],
  ...['difflib', 'datetime', 'decimal', 'fractions', 'unicodedata', 'heapq', 'bisect', 'copy', 'textwrap', 'typing'],
  ...['dataclasses', 'enum', 'hashlib', 'base64', 'html', 'ast', 'time', 'numbers', 'csv', 'io', 'traceback', 'abc'],
  ...['xml.etree.ElementTree', 'urllib.parse', 'contextlib', 'collections.abc', 'keyword', 'tokenize'],
];

export const pythonHost = `
def make_host(blocked, loaded):
    import builtins, gc, importlib, json, math, sys, time, traceback
    from pyodide.ffi import JsProxy

    for name in loaded:
        importlib.import_module(name)

    for each in gc.get_objects():
        if isinstance(each, dict):
            for key in [key for key, value in each.items() if isinstance(value, JsProxy)]:
                del each[key]
    for name in list(sys.modules):
        if name.partition('.')[0] in blocked:
            del sys.modules[name]

    class Refusal:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.partition('.')[0] in blocked:
                raise ModuleNotFoundError(f'{name} is not there for graders', name=name)

    foreign_roots = {'js', 'pyodide', 'pyodide_js', '_pyodide', '_pyodide_core'}
    foreign = lambda finder: (getattr(finder, '__module__', None) or type(finder).__module__).startswith('_pyodide')
    sys.meta_path[:] = [Refusal, *(finder for finder in sys.meta_path if not foreign(finder) and not foreign(type(finder)))]
    sys.setrecursionlimit(1000)

    # Pyodide's own would ask JavaScript.
    now = time.monotonic
    def sleep(seconds):
        end = now() + seconds
        while now() < end:
            pass
    time.sleep = sleep

    # A program may put other things in their places.
    compiled, execute, is_a, is_function, kind = compile, exec, isinstance, callable, type
    as_float, as_text, is_finite, frames_of = float, str, math.isfinite, traceback.extract_tb
    load, numbers = json.loads, (int, float)

    def place(error):
        frames = [frame for frame in frames_of(error.__traceback__) if frame.filename == 'grader.py']
        return f'line {frames[-1].lineno}: ' if frames else ''

    def run(request):
        try:
            namespace = {'__name__': 'grader', '__builtins__': builtins}
            execute(compiled(request['source'], 'grader.py', 'exec'), namespace)
            grade = namespace.get('grade')
            if not is_function(grade):
                return 'mistake', 'expected a function grade(sample, item), there is none'
            if request['type'] == 'check':
                return 'fine', '0'
            result = grade(request['sample'], request['item'])
            if not is_a(result, numbers):
                return 'mistake', f'grade: expected a number, got {kind(result).__name__}'
            reward = as_float(result)
            if not is_finite(reward):
                return 'mistake', f'grade: expected a finite number, got {reward}'
            return 'fine', f'{reward!r}'
        except MemoryError as error:
            return 'memory', f'{place(error)}took more memory than there is'
        except SyntaxError as error:
            return 'mistake', f'line {error.lineno}: {kind(error).__name__}: {error.msg}'
        except BaseException as error:
            try:
                said = as_text(error)[:1000]
            except BaseException:
                said = ''
            return 'mistake', f'{place(error)}{kind(error).__name__}: {said}'

    def host(text):
        try:
            outcome, detail = run(load(text))
            return f'{outcome}\\n{detail}'
        except BaseException:
            return 'mistake\\nthe program broke what would have told of its mistake'

    # Called last, as nothing of Pyodide works afterwards: its modules are emptied, wherever they are still known.
    def empty():
        for each in gc.get_objects():
            if isinstance(each, dict) and str(each.get('__name__')).partition('.')[0] in foreign_roots:
                each.clear()
        gc.collect()

    host.blocked_builtins = '\\n'.join(name for name in sys.builtin_module_names if name in blocked)
    host.empty = empty
    return host

make_host(frozenset(${JSON.stringify(blocked)}), ${JSON.stringify(loaded)})
`;
