// The weights of an adapter, as the model's own weights ask for them.
//
// Owns which matrices an adapter has for one weight of an architecture: a pair for each of its parts, so that a fused weight
// (query, key and value; gate over up; one checkpoint tensor cut in two) has the pairs that its checkpoint names have, under the
// names that PEFT gives them. Knows nothing of where values come from. Like `weight-source`, so training, loading and saving agree.

import type { LowRank } from '@hadal/tensor/low-rank';
import type { PlainWeight } from '@hadal/tensor/packed-matrix';
import { type Part, rowsOf, specKey, type WeightSpec } from '../weight-source.ts';

/** The pair of one module: A [rank, in] and B [out, rank], whose product is multiplied by `scale`. */
export interface ModulePair {
  readonly rank: number;
  readonly scale: number;
}

/** By a module's name (`model.layers.0.self_attn.q_proj`); undefined: it has none. */
export type PairOf = (module: string) => ModulePair | undefined;

/** The pairs of parts that share a scale, A below A; see `LowRank`. */
export interface LowRankSpec {
  readonly down: WeightSpec;
  readonly parts: readonly { readonly up: WeightSpec; readonly column: number }[];
  readonly scale: number;
}

/** Where PEFT's names begin: it wraps the model twice. */
const wrapping = 'base_model.model.';

export function downName(module: string): string {
  return `${wrapping}${module}.lora_A.weight`;
}

export function upName(module: string): string {
  return `${wrapping}${module}.lora_B.weight`;
}

/** The module that a tensor of an adapter belongs to; undefined of any other name. */
export function moduleOfTensor(name: string): string | undefined {
  return /^base_model\.model\.(.+)\.lora_[AB]\.weight$/.exec(name)?.[1];
}

/** The module whose weight a part is (or is cut from). */
export function moduleOf({ name }: Part): string {
  return name.replace(/\.weight$/, '');
}

/** Whether adapters may add to products with this weight: matrices of attention and feed-forward, experts included. */
export function isAdaptable({ kind, parts }: WeightSpec): boolean {
  return (kind === 'matrix' || kind === 'experts') && parts.every(({ name }) => name.endsWith('.weight'));
}

/** What an adapter has for `spec`; empty where it has nothing. */
export function lowRankSpecs(spec: WeightSpec, pairOf: PairOf): LowRankSpec[] {
  if (!isAdaptable(spec)) return [];
  const E = spec.kind === 'experts' ? (spec.shape[0] as number) : 1;
  const perExpert = spec.parts.length / E;
  const slots: Slot[] = [];
  let column = 0;
  for (let slot = 0; slot < perExpert; slot++) {
    const parts = Array.from({ length: E }, (_, e) => spec.parts[e * perExpert + slot] as Part);
    const pair = commonPair(spec, parts, pairOf);
    const rows = rowsOf(parts[0] as Part);
    if (pair) slots.push({ parts, pair, column, rows });
    column += rows;
  }
  const scales = [...new Set(slots.map(({ pair }) => pair.scale))];
  return scales.map((scale) =>
    lowRankSpec(
      spec,
      slots.filter(({ pair }) => pair.scale === scale),
      E,
      scale,
    ),
  );
}

/** Asks `matrix` for the matrices. */
export function makeLowRank({ down, parts, scale }: LowRankSpec, matrix: (spec: WeightSpec) => PlainWeight): LowRank {
  return { down: matrix(down), parts: parts.map(({ up, column }) => ({ up: matrix(up), column })), scale };
}

/** The same part of every expert, or a part of an ordinary weight. */
interface Slot {
  readonly parts: readonly Part[];
  readonly pair: ModulePair;
  /** Of the product, where it begins, and how many columns it is. */
  readonly column: number;
  readonly rows: number;
}

function lowRankSpec({ kind, shape }: WeightSpec, slots: readonly Slot[], E: number, scale: number): LowRankSpec {
  const experts = kind === 'experts' ? [E] : [];
  const I = shape.at(-1) as number;
  const R = slots.reduce((sum, { pair }) => sum + pair.rank, 0);
  const downPart = (part: Part, rank: number): Part => ({ name: downName(moduleOf(part)), shape: [rank, I] });
  const down: WeightSpec = {
    kind,
    shape: [...experts, R, I],
    parts: Array.from({ length: E }, (_, e) =>
      slots.map(({ parts, pair }) => downPart(parts[e] as Part, pair.rank)),
    ).flat(),
  };
  const parts = slots.map(({ parts, pair: { rank }, column, rows }) => {
    const up = parts.map((part): Part => {
      const whole = { name: upName(moduleOf(part)), shape: [part.shape[0] as number, rank] };
      return part.rows ? { ...whole, rows: part.rows } : whole;
    });
    return { up: { kind, shape: [...experts, rows, rank], parts: up }, column };
  });
  return { down, parts, scale };
}

/** Experts are one product, so either all of them have a pair of one rank and scale, or none has. */
function commonPair(spec: WeightSpec, parts: readonly Part[], pairOf: PairOf): ModulePair | undefined {
  const pairs = parts.map((part) => pairOf(moduleOf(part)));
  const [first] = pairs;
  if (pairs.some((pair) => pair?.rank !== first?.rank || pair?.scale !== first?.scale)) {
    const names = `${moduleOf(parts[0] as Part)} and its like`;
    throw new Error(`${specKey(spec)}: expected one rank and scale for ${names} in all experts, or none`);
  }
  return first;
}
