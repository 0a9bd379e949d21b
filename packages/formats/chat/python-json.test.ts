import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseJson, pythonJson } from './python-json.ts';

test('numbers are spelled as Python spells what it read', () => {
  // Left: JSON; right: what json.dumps(json.loads(left)) prints in CPython 3.11.
  const cases: [string, string][] = [
    ['1', '1'],
    ['-0', '0'],
    ['123456789012345678901234567890', '123456789012345678901234567890'],
    ['1.0', '1.0'],
    ['-0.0', '-0.0'],
    ['1.50', '1.5'],
    ['1e5', '100000.0'],
    ['1E+2', '100.0'],
    ['1e15', '1000000000000000.0'],
    ['1e16', '1e+16'],
    ['1.25e20', '1.25e+20'],
    ['0.0001', '0.0001'],
    ['0.00001', '1e-05'],
    ['1.5e-7', '1.5e-07'],
    ['5e-324', '5e-324'],
    ['1e-400', '0.0'],
    ['1e400', 'Infinity'],
    ['0.1', '0.1'],
    ['3.141592653589793', '3.141592653589793'],
  ];
  for (const [json, expected] of cases) assert.equal(pythonJson(parseJson(json)), expected, json);
});

test('separators have spaces, text beyond ASCII stays, control characters are escaped', () => {
  const json = '{"a":[1,{"b":null}],"é":"杭州 \\u0001\\n\\"","e":{},"f":[]}';
  assert.equal(pythonJson(parseJson(json)), '{"a": [1, {"b": null}], "é": "杭州 \\u0001\\n\\"", "e": {}, "f": []}');
});

test('plain values print alike, and undefined members are left out', () => {
  assert.equal(pythonJson({ a: 1, b: undefined, c: [true, 0.5] }), '{"a": 1, "c": [true, 0.5]}');
});
