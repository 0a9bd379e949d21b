import assert from 'node:assert/strict';
import { test } from 'node:test';
import { teacherKey } from './teacher-key.ts';

const apiKeyEnv = 'HADAL_TEACHER_A';
const environment = {
  HADAL_TEACHER_A: 'secret',
  HADAL_TEACHER_A_URL: 'https://api.example/v1',
  HADAL_TEACHER_B: 'other',
};

test('a key is sent where its owner says it may be, and nowhere else', () => {
  const keyAt = (baseUrl: string, name = apiKeyEnv) => teacherKey({ baseUrl, apiKeyEnv: name }, environment);
  assert.equal(keyAt('https://api.example/v1'), 'secret');
  assert.equal(keyAt('https://api.example/v1/'), 'secret');
  assert.equal(keyAt('https://api.example/v1/models/a'), 'secret');
  for (const address of [
    'https://evil.example/v1',
    'https://api.example.evil.example/v1',
    'https://api.example@evil.example/v1',
    'http://api.example/v1',
    'https://api.example:444/v1',
    'https://api.example/v10',
    'https://api.example/v1/../stolen',
    'https://api.example/',
  ])
    assert.throws(() => keyAt(address), /expected a base_url that begins with what HADAL_TEACHER_A_URL says/, address);
  assert.throws(() => keyAt('https://api.example/v1', 'HADAL_TEACHER_B'), /expected HADAL_TEACHER_B_URL beside/);
  assert.throws(() => keyAt('https://api.example/v1', 'HADAL_TEACHER_C'), /it has no HADAL_TEACHER_C/);
  assert.equal(teacherKey({ baseUrl: 'https://evil.example/v1' }, environment), undefined);
});
