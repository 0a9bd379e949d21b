// That the narrow task is one that no model of ours is prepared for.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type RecordKind, recordKinds } from './extract-json-records.ts';
import { parcel } from './extract-parcel.ts';
import { tasks } from './registry.ts';

describe('extract-parcel', () => {
  it('is in no evaluation or mixture of all tasks', () => {
    assert.ok(!tasks.some(({ name }) => name === 'extract-parcel'));
  });

  it('has a schema of which no kind of extract-json could fill half', () => {
    const keysOf = ({ fields }: RecordKind) => fields.flatMap(({ keys }) => keys.split('|'));
    for (const kind of recordKinds) {
      const known = new Set(keysOf(kind));
      const shared = parcel.fields.filter(({ keys }) => keys.split('|').some((key) => known.has(key)));
      assert.ok(2 * shared.length < parcel.fields.length, `${kind.name}: ${shared.map(({ keys }) => keys).join(', ')}`);
    }
  });

  it('says nothing in a wording of extract-json', () => {
    const known = new Set(recordKinds.flatMap(wordingsOf));
    assert.deepEqual(
      wordingsOf(parcel).filter((wording) => known.has(wording)),
      [],
    );
  });
});

/** Every alternative of every template; compounds name their values by other letters. */
function wordingsOf({ fields, compounds }: RecordKind): string[] {
  return [...fields, ...compounds]
    .flatMap(({ en, zh }) => [en, zh])
    .flatMap((template) => template.split(/[{}|/]/))
    .map((wording) => wording.replace(/\$[a-d]/g, '$v').toLowerCase())
    .filter((wording) => /\p{L}/u.test(wording.replaceAll('$v', '')));
}
