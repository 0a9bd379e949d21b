// The formats of JSON Schema as languages.
//
// Owns one pattern for each format, of the texts that are certainly right: where a standard leaves room that readers
// disagree about (leap seconds, comments in addresses), the room is not used. Knows nothing of schemas.

import type { Dfa } from './dfa.ts';
import { Refusal } from './refusal.ts';
import type { Texts } from './schema-atoms.ts';
import { textMatching } from './text-language.ts';

const date = // Gregorian, RFC 3339: every year has its own length of February.
  '(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))' +
  '|(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)';
const clock = '(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d';
const zone = '(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)';
const time = `${clock}(?:\\.\\d{1,9})?${zone}`;

const hexadecimal = '[0-9A-Fa-f]';
const byte = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const ipv4 = `(?:${byte}\\.){3}${byte}`;
const ipv6 = makeIpv6();
/** RFC 1123. Eight labels at most, so that the 253 characters that a name may have are never reached. */
const label = '[0-9A-Za-z](?:[0-9A-Za-z-]{0,28}[0-9A-Za-z])?';
const hostname = `${label}(?:\\.${label}){0,7}`;
const atext = "[0-9A-Za-z!#$%&'*+/=?^_`{|}~-]";
const email = `${atext}+(?:\\.${atext}+)*@(?:[0-9A-Za-z](?:[0-9A-Za-z-]*[0-9A-Za-z])?\\.)+[0-9A-Za-z](?:[0-9A-Za-z-]*[0-9A-Za-z])?`;

// RFC 3986.
const percent = `%${hexadecimal}{2}`;
const segmentCharacter = `(?:[0-9A-Za-z._~!$&'()*+,;=:@-]|${percent})`;
/** Of a relative path's first segment, which must not look like a scheme. */
const plainCharacter = `(?:[0-9A-Za-z._~!$&'()*+,;=@-]|${percent})`;
const queryCharacter = `(?:[0-9A-Za-z._~!$&'()*+,;=:@/?-]|${percent})`;
const tail = `(?:\\?${queryCharacter}*)?(?:#${queryCharacter}*)?`;
const authority = `(?:(?:[0-9A-Za-z._~!$&'()*+,;=-]|${percent})+|\\[${ipv6}\\])(?::\\d{1,5})?`;
const path = `(?:/${segmentCharacter}*)*`;
const scheme = '[A-Za-z][0-9A-Za-z+.-]*';
const uri = `${scheme}:(?://${authority}${path}|${segmentCharacter}+${path})${tail}`;
const uriReference = `(?:${uri}|(?:/(?:${segmentCharacter}+${path})?|[0-9A-Za-z._~-]${plainCharacter}*${path})?${tail})`;

const pointer = '(?:/(?:[^~/]|~[01])*)*';
const duration = // RFC 3339, appendix A.
  'P\\d{1,9}W' +
  '|P(?:\\d{1,9}Y(?:\\d{1,9}M(?:\\d{1,9}D)?)?|\\d{1,9}M(?:\\d{1,9}D)?|\\d{1,9}D)(?:T(?:\\d{1,9}H(?:\\d{1,9}M(?:\\d{1,9}S)?)?|\\d{1,9}M(?:\\d{1,9}S)?|\\d{1,9}S))?' +
  '|PT(?:\\d{1,9}H(?:\\d{1,9}M(?:\\d{1,9}S)?)?|\\d{1,9}M(?:\\d{1,9}S)?|\\d{1,9}S)';

const patterns: Readonly<Record<string, string>> = {
  date,
  time,
  'date-time': `${date}T${time}`,
  duration,
  email,
  'idn-email': email,
  hostname,
  'idn-hostname': hostname,
  ipv4,
  ipv6,
  uri,
  url: `https?://${authority}${path}${tail}`,
  iri: uri,
  'uri-reference': uriReference,
  'iri-reference': uriReference,
  uuid: `${hexadecimal}{8}-(?:${hexadecimal}{4}-){3}${hexadecimal}{12}`,
  'json-pointer': pointer,
  'relative-json-pointer': `(?:0|[1-9]\\d{0,8})(?:#|${pointer})`,
  byte: '(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?',
};

/** Formats that every value has: they say how it is stored or shown. */
const free = new Set(['password', 'binary', 'float', 'double']);
/** Formats whose texts no finite automaton can tell. */
const beyond = new Set(['regex', 'uri-template']);

/** 'any': every text has the format. undefined: no standard names it. Refused where it cannot be enforced. */
export function formatTexts(name: string): Texts | 'any' | undefined {
  if (free.has(name)) return 'any';
  if (beyond.has(name)) throw new Refusal(`the format ${name} cannot be enforced`);
  const pattern = Object.hasOwn(patterns, name) ? patterns[name] : undefined;
  if (pattern === undefined) return undefined;
  let language: Dfa | undefined;
  return {
    name: `format ${name}`,
    language() {
      language ??= textMatching(pattern, 'whole');
      return language;
    },
  };
}

/** RFC 4291: eight groups, or fewer around one `::`; the last two may be an IPv4 address. */
function makeIpv6(): string {
  const group = `${hexadecimal}{1,4}`;
  const last = `(?:${group}:${group}|${ipv4})`;
  const forms = [`(?:${group}:){6}${last}`, `(?:(?:${group}:){0,6}${group})?::`, `::(?:${group}:){5}${last}`];
  // `::` stands for one group at least.
  for (let after = 1; after <= 6; after++) {
    const before = `(?:(?:${group}:){0,${6 - after}}${group})?`;
    forms.push(`${before}::${after === 1 ? group : `(?:${group}:){${after - 2}}${last}`}`);
  }
  return `(?:${forms.join('|')})`;
}
