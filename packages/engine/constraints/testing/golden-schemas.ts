// Schemas as people write them, and who judges what was made under them.
//
// Owns the reading of the goldens, a sample of JSONSchemaBench (Geng et al. 2025), and the setting up of ajv, which knows
// nothing of ours. Used by tests only.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv, type ValidateFunction } from 'ajv';
import draft4 from 'ajv-draft-04';
import formats from 'ajv-formats';

export interface GoldenSchema {
  readonly file: string;
  readonly schema: Record<string, unknown>;
}

export function goldenSchemas(): GoldenSchema[] {
  const folder = join(import.meta.dirname, '../../../../test/golden/json-schemas');
  return readdirSync(folder).map((file) => ({ file, schema: JSON.parse(readFileSync(join(folder, file), 'utf8')) }));
}

/** Formats are checked; unknown keywords are not, as every draft says. */
export function validator(schema: Record<string, unknown>): ValidateFunction {
  const { $schema, ...rest } = schema;
  const isOld =
    /draft-0[34]/.test(String($schema)) || /"exclusiveM(in|ax)imum":(true|false)/.test(JSON.stringify(rest));
  const ids = isOld ? withoutIds(rest) : rest;
  const attempts = [true, false].map((unicodeRegExp) => () => {
    const options = {
      strict: false,
      validateSchema: false,
      logger: false,
      multipleOfPrecision: 9,
      unicodeRegExp,
    } as const;
    const ajv = isOld ? new (draft4 as unknown as typeof Ajv)(options) : new Ajv(options);
    (formats as unknown as (ajv: Ajv) => void)(ajv);
    return ajv.compile(ids);
  });
  // Some patterns are written for the mode without the `u` flag and are errors in the other.
  try {
    return attempts[0]!();
  } catch {
    return attempts[1]!();
  }
}

/** One golden repeats an id, which says nothing about values. */
function withoutIds(schema: Record<string, unknown>): Record<string, unknown> {
  return JSON.parse(JSON.stringify(schema), (key, value) =>
    key === 'id' && typeof value === 'string' ? undefined : value,
  );
}
