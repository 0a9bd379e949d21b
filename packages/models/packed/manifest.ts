// packed.json: what makes a directory one of packed weights; and conversion.json, its journal while it is being made.
//
// Owns their schema, the version of the layout and the names of the files. A directory without a manifest is an ordinary
// checkpoint; one whose manifest has another version was written by another Hadal and is refused. Knows nothing of how a
// directory is made or read.

import { join } from 'node:path';
import { readJsonIfPresent } from '@hadal/formats/json-document';
import { packedDtypes } from '@hadal/tensor/packed-matrix';
import { z } from 'zod';
import { parseConfig } from '../configuration.ts';
import { runTimeWeight } from '../run-time-weights.ts';
import type { WeightRequest } from '../weight-source.ts';

/** Counts the changes to what packed bytes mean (kernels/matmul and kernels/quantized) or to the names they go by. */
export const packedLayout = 1;

export const manifestName = 'packed.json';
export const journalName = 'conversion.json';

const shard = z.object({ file: z.string().regex(/^[^/\\]+\.safetensors$/), bytes: z.int().positive(), crc32: z.int() });

const identity = z.object({
  format: z.literal('hadal-packed'),
  layout: z.literal(packedLayout, {
    error: ({ input }) => `expected layout ${packedLayout}, found ${input}: convert the original again`,
  }),
  dtype: z.enum(packedDtypes),
  /** The form of attention that the weights are laid out for. */
  attention: z.enum(['standard', 'expanded', 'absorbed']),
  /** Of the checkpoint that they were made of. */
  source: z.object({ name: z.string(), fingerprint: z.string() }),
  /** The shape of every weight, by its run-time name. */
  tensors: z.record(z.string(), z.array(z.int().nonnegative())),
});

/** What is converted and how, without the shards. */
export type Identity = z.output<typeof identity>;

/** The shards, in order: whole and unchanged when they have these sizes and sums. */
const manifest = identity.extend({ shards: z.array(shard).min(1) });

/** Of a conversion that is not finished: the shards that are whole. */
const journal = identity.extend({ shards: z.array(shard) });

export type Manifest = z.output<typeof manifest>;
export type Journal = z.output<typeof journal>;
export type PackedShard = z.output<typeof shard>;

/** The manifest in `directory`, or undefined where there is none. Throws one line when it is not ours. */
export function readManifest(directory: string): Manifest | undefined {
  return read(manifest, join(directory, manifestName));
}

export function readJournal(directory: string): Journal | undefined {
  return read(journal, join(directory, journalName));
}

/** Whether both are the same checkpoint in the same form. */
export function isSameConversion(a: Identity, b: Identity): boolean {
  const key = ({ dtype, attention, layout, source }: Identity) => [dtype, attention, layout, source.fingerprint].join();
  return key(a) === key(b);
}

/** Whether the weight is among them in the form that is asked for. */
export function holdsWeight({ dtype, tensors }: Identity, request: WeightRequest): boolean {
  return Object.hasOwn(tensors, runTimeWeight(request, dtype).name);
}

/** Whether some form of a tensor, by its name in the original, is among them. */
export function holdsName({ tensors }: Identity, name: string): boolean {
  return Object.keys(tensors).some((known) => known.startsWith(`${name}:0/`));
}

/** packed-00001.safetensors is number 0. */
export function shardName(number: number): string {
  return `packed-${String(number + 1).padStart(5, '0')}.safetensors`;
}

function read<S extends z.ZodType>(schema: S, path: string): z.output<S> | undefined {
  const document = readJsonIfPresent(path);
  return document && parseConfig(schema, document.value, document.path);
}
