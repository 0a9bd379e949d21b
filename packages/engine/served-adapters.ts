// Which adapters requests can name.
//
// Owns the names, and for how long an adapter stays: one that is unloaded can be named no more, and its memory is free when the
// last request that began with it has ended. Knows nothing of what an adapter does. Invariant: an adapter that is held is there.

import { openAdapter } from '@hadal/models/adapters/adapter-files';
import type { AdapterShelf } from '@hadal/models/adapters/adapter-shelf';
import type { AdapterRows } from '@hadal/tensor/low-rank';

export interface AdapterInfo {
  readonly name: string;
  /** Numbers that it has. */
  readonly parameters: number;
  /** Changes when its content does. */
  readonly fingerprint: string;
}

/** One that a request has been promised. */
export interface HeldAdapter {
  /** What rows of a step name it by: its name and which time it was loaded. */
  readonly key: string;
  readonly fingerprint: string;
}

interface Loaded extends HeldAdapter {
  holders: number;
  isUnloaded: boolean;
}

export class ServedAdapters {
  /** undefined: the model takes none. */
  readonly #shelf: AdapterShelf | undefined;
  readonly #byName = new Map<string, Loaded>();
  #loads = 0;

  constructor(shelf: AdapterShelf | undefined) {
    this.#shelf = shelf;
  }

  /** Throws one line where the name is taken, or the adapter is none of this model's. */
  load(name: string, directory: string): AdapterInfo {
    if (!this.#shelf) throw new Error(`adapter ${name}: expected a model that takes adapters`);
    if (this.#byName.has(name)) throw new Error(`adapter ${name}: expected a name that is not in use`);
    const adapter = openAdapter(directory);
    const key = `${name}#${this.#loads++}`;
    const parameters = this.#shelf.load(key, adapter);
    const { fingerprint } = adapter;
    this.#byName.set(name, { key, fingerprint, holders: 0, isUnloaded: false });
    return { name, parameters, fingerprint };
  }

  /** Throws one line where there is no such adapter. */
  unload(name: string): void {
    const adapter = this.#byName.get(name);
    if (!adapter) throw new Error(`adapter ${name}: expected one that is loaded`);
    this.#byName.delete(name);
    adapter.isUnloaded = true;
    this.#free(adapter);
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /** The adapter of that name, to be released when its request has ended. */
  hold(name: string): HeldAdapter {
    const adapter = this.#byName.get(name);
    if (!adapter) throw new Error(`adapter ${name}: expected one that is loaded`);
    adapter.holders++;
    return adapter;
  }

  release(held: HeldAdapter): void {
    const adapter = held as Loaded;
    adapter.holders--;
    if (adapter.holders < 0) throw new Error(`adapter ${adapter.key}: was let go more often than held`);
    this.#free(adapter);
  }

  #free({ key, holders, isUnloaded }: Loaded): void {
    if (isUnloaded && holders === 0) this.#shelf?.unload(key);
  }
}

/** Whose the rows of a step are, of stretches that follow one another. */
export function adapterRowsOf(
  stretches: readonly { readonly adapter: HeldAdapter | undefined; readonly count: number }[],
): AdapterRows[] {
  const rows: { adapter: string | undefined; begin: number; count: number }[] = [];
  let begin = 0;
  for (const { adapter, count } of stretches) {
    const last = rows.at(-1);
    if (last && last.adapter === adapter?.key) last.count += count;
    else rows.push({ adapter: adapter?.key, begin, count });
    begin += count;
  }
  return rows;
}

/**
 * Under which prefixes are kept: rows that an adapter took part in are no others'. No namespace of requests to the base can be
 * one of an adapter's, whatever it is called.
 */
export function prefixNamespace(namespace: string, adapter: HeldAdapter | undefined): string {
  if (adapter) return `\0${adapter.fingerprint}/${namespace}`;
  return namespace.startsWith('\0') ? `\0\0${namespace}` : namespace;
}
