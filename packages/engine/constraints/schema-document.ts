// A JSON Schema as a document: its subschemas by JSON pointer, and what references in it point to.
//
// Owns identity: one node for each place, so that "this value satisfies these subschemas" can be recognized when it comes up
// again. Knows nothing of what keywords mean. References lead inside the document only; a remote one is refused.

import { Refusal } from './refusal.ts';

export type JsonObject = { readonly [key: string]: unknown };

export interface SchemaNode {
  readonly id: number;
  readonly schema: JsonObject | boolean;
  /** RFC 6901, from the root. */
  readonly pointer: string;
}

const maxDepth = 256;

export class SchemaDocument {
  readonly root: SchemaNode;
  readonly #document: unknown;
  readonly #nodes = new Map<string, SchemaNode>();
  /** Where resources with a URI of their own begin; anchors as URI#name. */
  readonly #places = new Map<string, string>();

  constructor(document: unknown) {
    this.#document = document;
    this.#findPlaces(document, '', '', 0);
    this.root = this.at('');
  }

  /** The subschema at a pointer. Refused where there is none. */
  at(pointer: string): SchemaNode {
    const known = this.#nodes.get(pointer);
    if (known) return known;
    const schema = this.#valueAt(pointer);
    if (typeof schema !== 'boolean' && !isObject(schema)) {
      throw new Refusal(
        `expected a schema, found ${schema === undefined ? 'nothing' : JSON.stringify(schema)}`,
        pointer,
      );
    }
    const node = { id: this.#nodes.size, schema, pointer };
    this.#nodes.set(pointer, node);
    return node;
  }

  child(node: SchemaNode, ...path: readonly (string | number)[]): SchemaNode {
    return this.at(node.pointer + path.map((part) => `/${escapePart(String(part))}`).join(''));
  }

  /** What `$ref` at a node points to. */
  resolve(node: SchemaNode, reference: string): SchemaNode {
    const where = `${node.pointer}/$ref`;
    const hash = reference.indexOf('#');
    const uri = hash < 0 ? reference : reference.slice(0, hash);
    const fragment = hash < 0 ? '' : decode(reference.slice(hash + 1));
    const base = this.#baseOf(node.pointer);
    const resource = uri === '' ? base : join(base, uri);
    for (const candidate of [resource, uri, ...(uri === '' ? [''] : [])]) {
      const begin = candidate === '' ? '' : this.#places.get(candidate);
      if (begin === undefined) continue;
      const place =
        fragment === '' || fragment.startsWith('/') ? begin + fragment : this.#places.get(`${candidate}#${fragment}`);
      if (place !== undefined && this.#valueAt(place) !== undefined) return this.at(place);
    }
    throw new Refusal(`expected a reference into this document, got ${JSON.stringify(reference)}`, where);
  }

  #valueAt(pointer: string): unknown {
    let value = this.#document;
    for (const part of pointer.split('/').slice(1)) {
      const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
      value = (value as JsonObject)[key];
    }
    return value;
  }

  /** The URI of the innermost resource that a place belongs to. */
  #baseOf(pointer: string): string {
    let [base, longest] = ['', -1];
    for (const [uri, place] of this.#places) {
      const isInside = pointer === place || pointer.startsWith(`${place}/`);
      if (isInside && place.length > longest && !uri.includes('#')) [base, longest] = [uri, place.length];
    }
    return base;
  }

  #findPlaces(value: unknown, pointer: string, base: string, depth: number): void {
    if (typeof value !== 'object' || value === null) return;
    if (depth > maxDepth) throw new Refusal(`expected at most ${maxDepth} levels`, pointer);
    let here = base;
    if (!Array.isArray(value)) {
      const { $id, id, $anchor } = value as JsonObject;
      const uri = typeof $id === 'string' ? $id : typeof id === 'string' ? id : undefined;
      if (uri?.startsWith('#')) this.#places.set(base + uri, pointer);
      else if (uri !== undefined) {
        here = join(base, uri.replace(/#$/, ''));
        if (!this.#places.has(here)) this.#places.set(here, pointer);
      }
      if (typeof $anchor === 'string') this.#places.set(`${here}#${$anchor}`, pointer);
    }
    for (const [key, inner] of Object.entries(value)) {
      this.#findPlaces(inner, `${pointer}/${escapePart(key)}`, here, depth + 1);
    }
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function escapePart(part: string): string {
  return part.replaceAll('~', '~0').replaceAll('/', '~1');
}

function decode(fragment: string): string {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}

/** RFC 3986, section 5, where the base is absolute; else the URI as it stands. */
function join(base: string, uri: string): string {
  return URL.canParse(uri, base === '' ? undefined : base) ? new URL(uri, base === '' ? undefined : base).href : uri;
}
