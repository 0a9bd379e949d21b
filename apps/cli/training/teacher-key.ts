// The key of a teacher elsewhere.
//
// Owns which address a key may be sent to: whoever orders a job names both the address and the variable, and the key is the operator's.
// So the operator says beside it, in a variable of the same name and `_URL`, what an address has to begin with.

import type { TrainingMethod } from '@hadal/protocol/training-order';

export type DistantTeacher = Pick<
  Extract<TrainingMethod, { type: 'distillation' }>['teacher'],
  'baseUrl' | 'apiKeyEnv'
>;
type Environment = Readonly<Record<string, string | undefined>>;

/** undefined: it is asked without one. Throws where there is no such key, or it may not be sent there. */
export function teacherKey({ baseUrl, apiKeyEnv: name }: DistantTeacher, environment: Environment): string | undefined {
  if (name === undefined || baseUrl === undefined) return undefined;
  const [key, place] = [environment[name], environment[`${name}_URL`]];
  if (key === undefined) throw new Error(`expected a variable of the server, it has no ${name}`);
  if (place === undefined)
    throw new Error(`expected ${name}_URL beside ${name}: the addresses that the key may be sent to`);
  if (!isWithin(baseUrl, place)) throw new Error(`expected a base_url that begins with what ${name}_URL says`);
  return key;
}

/** Of the same host, in the same place or below it. */
function isWithin(address: string, place: string): boolean {
  if (!URL.canParse(address) || !URL.canParse(place)) return false;
  const [inner, outer] = [new URL(address), new URL(place)];
  const folder = outer.pathname.replace(/\/?$/, '/');
  return inner.origin === outer.origin && `${inner.pathname}/`.startsWith(folder);
}
