// Experts of an adapter as transformers 5 has them.
//
// Owns the two ways in which pairs for experts lie in a file. By module: a pair for each expert's gate, up and down projection,
// as checkpoints name them. By parameter: transformers 5 holds all experts of a layer in two parameters, `gate_up_proj` and
// `down_proj`, and PEFT's `target_parameters` has one pair for each, all experts' matrices in one: A [E * r, in], expert by
// expert, B [out, r * E], rank by rank. The pairs of gate and up are one of twice the rank there, whose B is block-diagonal.

import type { TensorSource } from '@hadal/formats/safetensors';
import type { StoredWeight, StoredWeights } from '@hadal/formats/stored-weights';
import { downName, type ModulePair, moduleOfTensor, upName } from './low-rank-specs.ts';

/** The parameters, and the modules of one expert that each is made of, in order. */
const fusions = { gate_up_proj: ['gate_proj', 'up_proj'], down_proj: ['down_proj'] } as const;
type Fused = keyof typeof fusions;
const fusedNames = Object.keys(fusions) as Fused[];

export const fusedLeaves: readonly string[] = Object.values(fusions).flat();

/** The layer's experts, which one it is, and which of its projections. */
function expertOf(module: string): { experts: string; expert: number; leaf: string } | undefined {
  const match = /^(.+\.experts)\.(\d+)\.(gate_proj|up_proj|down_proj)$/.exec(module);
  return match ? { experts: match[1] as string, expert: Number(match[2]), leaf: match[3] as string } : undefined;
}

export interface FusedExperts {
  readonly tensors: TensorSource[];
  /** As `target_parameters` has it, with how many pairs of modules each is made of. */
  readonly parameters: ReadonlyMap<string, number>;
}

/** Joins the pairs of experts, given by module as F32; all else stays as it is. */
export function fuseExperts(tensors: readonly TensorSource[]): FusedExperts {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const modules = [...new Set(tensors.map(({ name }) => moduleOfTensor(name) as string))];
  const counts = new Map<string, number>();
  for (const each of modules.flatMap((module) => expertOf(module) ?? [])) {
    counts.set(each.experts, Math.max(counts.get(each.experts) ?? 0, each.expert + 1));
  }
  const fused = tensors.filter(({ name }) => !expertOf(moduleOfTensor(name) as string));
  const parameters = new Map<string, number>();
  for (const [experts, E] of counts) {
    const present = fusedNames.filter((parameter) =>
      fusions[parameter].some((leaf) => byName.has(downName(`${experts}.0.${leaf}`))),
    );
    for (const parameter of present) {
      const leaves: readonly string[] = fusions[parameter];
      const isHere = (leaf: string) => byName.has(downName(`${experts}.0.${leaf}`));
      // Two parameters of one module are two wrappers, one within the other.
      const at = present.length > 1 && parameter === 'gate_up_proj' ? `${experts}.base_layer` : experts;
      const pairsOf = (expert: number) =>
        leaves.map((leaf) => {
          const find = (name: string) => byName.get(name) as TensorSource;
          return {
            leaf,
            down: find(downName(`${experts}.${expert}.${leaf}`)),
            up: find(upName(`${experts}.${expert}.${leaf}`)),
          };
        });
      fused.push(...fusePairs(at, E, leaves.map(isHere), pairsOf));
      parameters.set(`${experts.split('.').slice(-2).join('.')}.${parameter}`, leaves.filter(isHere).length);
    }
  }
  return { tensors: fused, parameters };
}

interface Pair {
  readonly down: TensorSource;
  readonly up: TensorSource;
}

/** `isPresent`: which of the modules have pairs; those that have none are as high as their neighbours, and B is zero there. */
function fusePairs(
  at: string,
  E: number,
  isPresent: readonly boolean[],
  pairsOf: (expert: number) => readonly Pair[],
): TensorSource[] {
  const present = (expert: number) => pairsOf(expert).filter((_, i) => isPresent[i]);
  const [first] = present(0) as [Pair];
  const [rank, I] = first.down.shape as readonly [number, number];
  const O = first.up.shape[0] as number;
  const R = rank * present(0).length;
  const rows = O * isPresent.length;
  const down = () => {
    const values = new Float32Array(E * R * I);
    for (let e = 0; e < E; e++) {
      for (const [i, pair] of present(e).entries()) values.set(valuesOf(pair.down), (e * R + i * rank) * I);
    }
    return new Uint8Array(values.buffer);
  };
  const up = () => {
    const values = new Float32Array(rows * R * E);
    for (let e = 0; e < E; e++) {
      let before = 0;
      for (const [slot, pair] of pairsOf(e).entries()) {
        if (!isPresent[slot]) continue;
        const b = valuesOf(pair.up);
        for (let o = 0; o < O; o++) {
          for (let r = 0; r < rank; r++) values[((slot * O + o) * R + before + r) * E + e] = b[o * rank + r] as number;
        }
        before += rank;
      }
    }
    return new Uint8Array(values.buffer);
  };
  const name = (which: 'A' | 'B') => `base_model.model.${stripWrapping(at)}.lora_${which}.weight`;
  return [
    { name: name('A'), dtype: 'F32', shape: [E * R, I], data: down },
    { name: name('B'), dtype: 'F32', shape: [rows, R * E], data: up },
  ];
}

function stripWrapping(module: string): string {
  return module.replace(/^base_model\.model\./, '');
}

function valuesOf({ data }: TensorSource): Float32Array {
  const bytes = typeof data === 'function' ? data() : data;
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

/** A parameter that a file has a pair for. */
export interface FusedPair extends ModulePair {
  /** `model.layers.1.mlp.experts`. */
  readonly experts: string;
  readonly parameter: Fused;
  /** The module under which the pair lies. */
  readonly module: string;
}

/**
 * The parameter that a module's pair is for, where it is one of experts: by its place, one within the other where both parameters
 * have pairs, or by what `target_parameters` names.
 */
export function fusedParameter(
  module: string,
  modules: ReadonlySet<string>,
  targets: readonly string[],
): Pick<FusedPair, 'experts' | 'parameter'> | undefined {
  if (module.endsWith('.experts.base_layer')) {
    return { experts: module.slice(0, -'.base_layer'.length), parameter: 'gate_up_proj' };
  }
  if (!module.endsWith('.experts')) return undefined;
  const named = fusedNames.filter((each) => targets.some((target) => target.endsWith(each)));
  const parameter = modules.has(`${module}.base_layer`) ? 'down_proj' : named.length === 1 ? named[0] : undefined;
  if (!parameter) throw new Error(`${module}: expected target_parameters to say which parameter its pair is for`);
  return { experts: module, parameter };
}

export interface UnfusedExperts {
  /** With a pair for each module instead of those for parameters. */
  readonly weights: StoredWeights;
  /** Of the modules that come of parameters. */
  readonly pairs: ReadonlyMap<string, ModulePair>;
}

/** A tensor that is part of a fused one. */
interface Piece {
  readonly stored: StoredWeight;
  readonly read: () => Float32Array<ArrayBuffer>;
}

/**
 * Takes fused pairs apart. Where B is as `fuseExperts` makes it, gate and up get back the pairs they had; otherwise they share
 * A.
 */
export function unfuseExperts(weights: StoredWeights, fused: readonly FusedPair[]): UnfusedExperts {
  const pieces = new Map<string, Piece>();
  const pairs = new Map<string, ModulePair>();
  // The pieces of one tensor are read one after another.
  let last: { name: string; values: Float32Array<ArrayBuffer> } | undefined;
  const whole = (weight: StoredWeight): Float32Array<ArrayBuffer> => {
    if (last?.name !== weight.name) last = { name: weight.name, values: weights.readFloat32(weight) };
    return last.values;
  };
  for (const { experts, parameter, module, rank: R, scale } of fused) {
    const [down, up] = [weights.find(downName(module)), weights.find(upName(module))];
    const leaves: readonly string[] = fusions[parameter];
    const [E, I] = [(down.shape[0] as number) / R, down.shape[1] as number];
    const O = (up.shape[0] as number) / leaves.length;
    if (!Number.isInteger(E) || !Number.isInteger(O) || up.shape[1] !== R * E) {
      const found = `[${down.shape.join(', ')}] and [${up.shape.join(', ')}]`;
      throw new Error(`${module}: expected A and B of rank ${R} for each expert, got ${found}`);
    }
    const blocks = blocksOf(whole(up), leaves.length, O, R, E);
    const piece = (name: string, of: StoredWeight, shape: readonly number[], read: Piece['read']) =>
      pieces.set(name, { stored: { name, shape, entry: of.entry, encoding: { kind: 'rearranged' } }, read });
    for (let e = 0; e < E; e++) {
      for (const { slot, firstRank, rank } of blocks) {
        const name = `${experts}.${e}.${leaves[slot]}`;
        pairs.set(name, { rank, scale });
        const begin = (e * R + firstRank) * I;
        piece(downName(name), down, [rank, I], () => whole(down).slice(begin, begin + rank * I));
        piece(upName(name), up, [O, rank], () => {
          const values = whole(up);
          return Float32Array.from({ length: O * rank }, (_, i) => {
            const [row, r] = [slot * O + Math.floor(i / rank), firstRank + (i % rank)];
            return values[(row * R + r) * E + e] as number;
          });
        });
      }
    }
  }
  const unfused: StoredWeights = {
    path: weights.path,
    has: (name) => pieces.has(name) || weights.has(name),
    find: (name) => pieces.get(name)?.stored ?? weights.find(name),
    readFloat32(weight, rows) {
      const found = pieces.get(weight.name);
      if (!found) return weights.readFloat32(weight, rows);
      const [begin, end] = rows ?? [0, weight.shape[0] as number];
      const width = weight.shape[1] as number;
      return found.read().slice(begin * width, end * width);
    },
    readIntegers: (name) => weights.readIntegers(name),
  };
  return { weights: unfused, pairs };
}

/** Rows of one slot of B [slots * O, R * E], and the ranks that they have. */
interface Block {
  readonly slot: number;
  readonly firstRank: number;
  readonly rank: number;
}

/** As `fuseExperts` may have joined them: slots with ranks of their own, or slots of which some had no pair and are zero. */
function blocksOf(values: Float32Array, slots: number, O: number, R: number, E: number): Block[] {
  const isZero = (slot: number, begin: number, end: number) => {
    for (let row = slot * O; row < (slot + 1) * O; row++) {
      if (values.subarray((row * R + begin) * E, (row * R + end) * E).some((value) => value !== 0)) return false;
    }
    return true;
  };
  const all = Array.from({ length: slots }, (_, slot) => slot);
  const width = R / slots;
  const isDiagonal = (slot: number) => isZero(slot, 0, slot * width) && isZero(slot, (slot + 1) * width, R);
  if (Number.isInteger(width) && all.every(isDiagonal)) {
    return all.map((slot) => ({ slot, firstRank: slot * width, rank: width }));
  }
  const used = all.filter((slot) => !isZero(slot, 0, R));
  return (used.length > 0 ? used : all).map((slot) => ({ slot, firstRank: 0, rank: R }));
}
