// `hadal convert`: a checkpoint packed once, so that every later start only maps it.
//
// Owns the order of things: plan, room on the disk, shard after shard, the finished directory. One stretch of one weight is in
// memory at a time. An interruption, a kill or a full disk costs the shard that was being written; the same call goes on after
// the ones before it. Knows nothing of terminals.

import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { Checkpoint } from '@hadal/formats/checkpoint';
import { checkpointFingerprint } from '@hadal/formats/checkpoint-fingerprint';
import { replaceFileByStream } from '@hadal/formats/replace-file';
import type { Device } from '@hadal/kernels/device';
import type { PackedDtype } from '@hadal/tensor/packed-matrix';
import { openWeights, readDefinition } from '../language-model.ts';
import { ConversionDirectory, isConverted } from './conversion-directory.ts';
import { type ConversionPlan, planConversion } from './conversion-plan.ts';
import { type Identity, packedLayout } from './manifest.ts';
import { shardPieces } from './shard-writer.ts';

export interface ConvertOptions {
  readonly dtype: PackedDtype;
  /** Of a shard, at most, unless one weight is larger; 4 GiB when absent. */
  readonly shardBytes?: number | undefined;
  /** Stops between two pieces. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ConvertProgress) => void) | undefined;
}

export interface ConvertProgress {
  /** Bytes of the finished directory that are there. */
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** `already`: the directory was whole before. */
export interface ConvertOutcome {
  readonly kind: 'converted' | 'already' | 'interrupted';
  readonly bytes: number;
  readonly shards: number;
}

/** Throws one line when `out` holds something else, the disk is too small or the checkpoint is not what its config says. */
export async function convertCheckpoint(
  device: Device,
  checkpoint: Checkpoint,
  out: string,
  { dtype, shardBytes: atMostBytes = 4 * 2 ** 30, signal, onProgress }: ConvertOptions,
): Promise<ConvertOutcome> {
  const stored = openWeights(checkpoint);
  const plan = planConversion(readDefinition(checkpoint), stored, { dtype, atMostBytes });
  const identity = identityOf(plan, { name: checkpoint.name, fingerprint: await checkpointFingerprint(checkpoint) });
  const totalBytes = plan.shards.reduce((sum, { bytes }) => sum + bytes, 0);
  const outcome = (kind: ConvertOutcome['kind']) => ({ kind, bytes: totalBytes, shards: plan.shards.length });
  if (isConverted(out, identity)) return outcome('already');

  const directory = await ConversionDirectory.open(out, identity, plan.shards);
  let doneBytes = directory.bytes;
  directory.checkRoom(totalBytes - doneBytes);
  onProgress?.({ doneBytes, totalBytes });
  try {
    for (const { file, bytes, weights } of plan.shards) {
      if (directory.has(file)) continue;
      const path = join(directory.path, file);
      let sum = 0;
      async function* pieces() {
        for await (const piece of shardPieces(device, stored, path, weights)) {
          sum = crc32(piece, sum);
          yield piece;
          doneBytes += piece.length;
          onProgress?.({ doneBytes, totalBytes });
          // Signals are heard only when the loop of events turns.
          await setImmediate();
          signal?.throwIfAborted();
        }
      }
      await replaceFileByStream(path, pieces());
      directory.note({ file, bytes, crc32: sum });
    }
  } catch (error) {
    if (signal?.aborted) return outcome('interrupted');
    throw error;
  }
  directory.finish(checkpoint);
  return outcome('converted');
}

function identityOf({ dtype, attention, shards }: ConversionPlan, source: Identity['source']): Identity {
  const tensors = Object.fromEntries(
    shards.flatMap(({ weights }) => weights.map(({ name, spec }) => [name, [...spec.shape]])),
  );
  return { format: 'hadal-packed', layout: packedLayout, dtype, attention, source, tensors };
}
